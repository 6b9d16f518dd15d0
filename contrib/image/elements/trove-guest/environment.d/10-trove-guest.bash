# Packages of the machine itself; each engine's element adds its own.
TROVE_GUEST_PACKAGES="linux-image-cloud-amd64 initramfs-tools zstd systemd systemd-sysv systemd-resolved udev dbus kmod"
TROVE_GUEST_PACKAGES+=" cloud-init cloud-guest-utils fdisk python3 e2fsprogs iproute2 netbase ca-certificates tzdata tar"
export TROVE_GUEST_PACKAGES
export DISTRO_NAME=debian
export DIB_INIT_SYSTEM=systemd
