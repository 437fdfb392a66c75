#!/usr/bin/env bash
# Proof that the two commands of README.md do everything on a fresh Debian 12: bootstraps one into a
# directory, clones the committed state of this project into it, and runs both commands inside.
# By hand, as root; needs debootstrap, util-linux and git. Not part of the test suite.
#
#   bash tests/fresh_machine/run.sh DIRECTORY [--golden DIR] [--data DIR] [--only quickstart|tests] [--again] [-- TEST OPTIONS]
#
# DIRECTORY/root is the new system (bootstrapped once, kept; delete DIRECTORY to start afresh); only
# what debootstrap's minbase holds is there before the first command. Packages come from where
# this machine's apt gets them. Mounts and processes live in namespaces of their own and end with
# this script. --golden and --data are shown inside as ../shared/golden and ../shared/data. --again goes
# on in the clone that is there. CI and OPENBLAS_CORETYPE are passed on.
set -euo pipefail
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
suite=bookworm

die() { echo "fresh_machine: $*" >&2; exit 2; }

copy_apt_configuration() {
  local root=$1 path
  rm -f "$root/etc/apt/sources.list"
  for path in sources.list sources.list.d apt.conf apt.conf.d auth.conf auth.conf.d keyrings \
    trusted.gpg trusted.gpg.d preferences preferences.d; do
    [[ ! -e /etc/apt/$path ]] || cp -a "/etc/apt/$path" "$root/etc/apt/"
  done
  mkdir -p "$root/usr/share/keyrings"
  [[ ! -d /usr/share/keyrings ]] || cp -a /usr/share/keyrings/. "$root/usr/share/keyrings/"
  cp -L /etc/hosts /etc/resolv.conf "$root/etc/"
}

bootstrap() {
  local root=$1 mirror
  # shellcheck disable=SC2016  # apt-get's own placeholders
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$suite" '$1 == suite { print $2; exit }')
  [[ -n $mirror ]] || die "apt has no index of $suite: run apt-get update"
  local http_proxy=${http_proxy:-} https_proxy=${https_proxy:-}
  eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
  export http_proxy https_proxy
  rm -rf "$root.partial"
  debootstrap --variant=minbase "$suite" "$root.partial" "$mirror"
  copy_apt_configuration "$root.partial"
  rm -rf "$root.partial/var/lib/apt/lists" # of the mirror, where the sources may say otherwise
  mv "$root.partial" "$root"
}

# Runs in namespaces of its own, where the mounts below are seen by nobody else.
inside() {
  local root=$1 golden=$2 data=$3 only=$4 home=/root/mercer
  shift 4
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  [[ -z $golden ]] || { mkdir -p "$root/root/shared/golden" && mount --rbind "$golden" "$root/root/shared/golden"; }
  [[ -z $data ]] || { mkdir -p "$root/root/shared/data" && mount --rbind "$data" "$root/root/shared/data"; }
  local enter=(chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 "TERM=${TERM:-dumb}"
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  local variable
  for variable in CI OPENBLAS_CORETYPE; do
    [[ -z ${!variable:-} ]] || enter+=("$variable=${!variable}")
  done
  if [[ $only != tests ]]; then
    echo "== bash jobscripts/quickstart.sh"
    "${enter[@]}" bash -c "cd $home && time bash jobscripts/quickstart.sh"
  fi
  if [[ $only != quickstart ]]; then
    echo "== bash tests/run.sh $*"
    "${enter[@]}" bash -c "cd $home && time bash tests/run.sh \"\$@\"" run "$@"
  fi
}

if [[ ${1:-} == --inside ]]; then
  shift
  inside "$@"
  exit
fi

directory='' golden='' data='' only=both again=''
while (($#)); do
  case $1 in
    --golden) golden=$(realpath -e "$2"); shift 2 ;;
    --data) data=$(realpath -e "$2"); shift 2 ;;
    --only) only=$2; shift 2 ;;
    --again) again=yes; shift ;;
    --) shift; break ;;
    -*) die "unknown option $1" ;;
    *) [[ -z $directory ]] || die "one directory, please"; directory=$1; shift ;;
  esac
done
[[ -n $directory ]] || die "usage: bash tests/fresh_machine/run.sh DIRECTORY [--golden DIR] [--data DIR] [--only quickstart|tests] [-- TEST OPTIONS]"
((EUID == 0)) || die "needs root (debootstrap, chroot, mount)"
mkdir -p "$directory"
root=$(realpath "$directory")/root
[[ -d $root ]] || bootstrap "$root"
if [[ -z $again ]]; then
  rm -rf "$root/root/mercer"
  git clone -q --no-local "$project" "$root/root/mercer"
fi
echo "== $(git -C "$root/root/mercer" log -1 --format='commit %h, %s') in a fresh $suite at $root"
unshare --mount --propagation private --pid --fork --kill-child \
  bash "${BASH_SOURCE[0]}" --inside "$root" "$golden" "$data" "$only" "$@"
