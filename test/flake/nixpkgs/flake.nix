# What flake.nix uses of nixpkgs, each a derivation that is never built: enough to evaluate every output without a network.
{
  outputs = { self }: let
    lib = {
      genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
      makeLibraryPath = packages: builtins.concatStringsSep ":" (map (p: "${p}/lib") packages);
    };
    drv = system: name: derivation { inherit name system; builder = "/bin/sh"; };
  in {
    inherit lib;
    legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] (system: {
      coreutils = drv system "coreutils"; gnugrep = drv system "gnugrep"; nodejs_24 = drv system "nodejs"; pnpm_10 = drv system "pnpm"; nixfmt-rfc-style = drv system "nixfmt";
      stdenv.cc.cc.lib = drv system "gcc-lib";
      writeShellApplication = { name, runtimeInputs, text }: derivation { inherit name system text; builder = "/bin/sh"; inputs = runtimeInputs; };
      writeShellScript = name: text: derivation { inherit name system text; builder = "/bin/sh"; };
      mkShell = { packages, ... }@a: derivation ({ name = "shell"; inherit system; builder = "/bin/sh"; inputs = packages; } // removeAttrs a [ "packages" ]);
    });
  };
}
