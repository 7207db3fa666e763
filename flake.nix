{
  description = "vequinox: teach a small language model to draw SVG by preference";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";

  outputs = { self, nixpkgs }:
    let
      forAllSystems = f: nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ]
        (system: f nixpkgs.legacyPackages.${system});
      # Prebuilt libraries of onnxruntime and resvg look for libstdc++ at run time.
      runtime = pkgs: nixpkgs.lib.makeLibraryPath [ pkgs.stdenv.cc.cc.lib ];
      vequinox = pkgs: pkgs.writeShellApplication {
        name = "vequinox";
        runtimeInputs = [ pkgs.coreutils pkgs.gnugrep pkgs.nodejs_24 pkgs.pnpm_10 ];
        text = ''
          export LD_LIBRARY_PATH="${runtime pkgs}''${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
          if grep -qs '"name": "vequinox"' package.json; then exec pnpm run vequinox "$@"; fi
          # Elsewhere it runs here all the same, from a copy: npm's packages go beside the sources, and the store is read-only.
          copy="''${XDG_CACHE_HOME:-$HOME/.cache}/vequinox/${baseNameOf self}"
          if [ ! -d "$copy" ]; then
            mkdir -p "$(dirname "$copy")"
            part="$(mktemp -d "$copy.XXXXXX")"
            trap 'rm -rf "$part"' EXIT
            cp -r --no-preserve=mode ${self}/. "$part"
            (cd "$part" && pnpm install --prod --frozen-lockfile >&2)
            # Where another process was first, its copy stays.
            mv -T "$part" "$copy" 2> /dev/null || rm -rf "$part"
          fi
          exec node "$copy/src/main.ts" "$@"
        '';
      };
    in {
      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          packages = [ pkgs.nodejs_24 pkgs.pnpm_10 ];
          LD_LIBRARY_PATH = runtime pkgs;
        };
      });

      packages = forAllSystems (pkgs: { default = vequinox pkgs; });

      apps = forAllSystems (pkgs: rec {
        pipeline = {
          type = "app";
          program = "${pkgs.writeShellScript "pipeline" ''exec ${vequinox pkgs}/bin/vequinox train "$@"''}";
        };
        default = pipeline;
      });

      checks = forAllSystems (pkgs: { default = vequinox pkgs; });

      formatter = forAllSystems (pkgs: pkgs.nixfmt-rfc-style);
    };
}
