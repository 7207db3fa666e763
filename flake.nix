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
        runtimeInputs = [ pkgs.nodejs_24 pkgs.pnpm_10 ];
        text = ''
          export LD_LIBRARY_PATH="${runtime pkgs}''${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
          work="''${VEQUINOX_HOME:-$PWD}"
          if [ ! -f "$work/package.json" ]; then
            mkdir -p "$work/vequinox"
            cp -r --no-preserve=mode ${self}/. "$work/vequinox"
            work="$work/vequinox"
          fi
          cd "$work"
          exec pnpm run vequinox "$@"
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
