#!/bin/sh
# Becomes a program inside the root folder of an engine. Runs in a mount namespace of its own, of which it makes the
# root folder the root, so that nothing that is mounted here is seen by the host, and all of it ends with the last process.
#
#     unshare --mount [--net] enter.sh ROOT FOLDER... -- PROGRAM ARGUMENT...
#
# Each FOLDER of the host is there under the same path.
set -eu
root=$1
shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
for folder in run tmp var/lib; do
    mount -t tmpfs tmpfs "$root/$folder"
done
while [ "$1" != -- ]; do
    mkdir -p "$root/$1"
    mount --bind "$1" "$root/$1"
    shift
done
shift
mkdir "$root/run/host"
cd "$root"
pivot_root . run/host
umount -l /run/host
ip link set lo up
exec "$@"
