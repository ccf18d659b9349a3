# Runs in the new image, once. What is alike on all hosts of all regions and does
# not change is done here and not at each start.
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/ssh/ssh_host_* /etc/resolv.conf /etc/hostname
: >/etc/resolv.conf
: >/etc/motd
echo LANG=C.UTF-8 >/etc/default/locale
echo LANG=C.UTF-8 >>/etc/environment

# A host starts what its role asks for and nothing else.
rm -f /etc/systemd/system/multi-user.target.wants/postgresql.service \
      /etc/systemd/system/multi-user.target.wants/pgpool2.service \
      /etc/systemd/system/multi-user.target.wants/supervisor.service \
      /etc/systemd/system/multi-user.target.wants/cron.service \
      /etc/systemd/system/multi-user.target.wants/e2scrub_reap.service
for unit in apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service \
            dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-tmpfiles-clean.timer \
            console-getty.service getty.target systemd-logind.service systemd-pstore.service \
            systemd-update-utmp.service systemd-update-utmp-runlevel.service \
            dev-hugepages.mount; do
	ln -sf /dev/null "/etc/systemd/system/$unit"
done
mkdir -p /etc/systemd/journald.conf.d /etc/systemd/system.conf.d
printf '[Journal]\nStorage=persistent\nSystemMaxUse=32M\n' >/etc/systemd/journald.conf.d/region.conf
printf '[Manager]\nDefaultTimeoutStopSec=20s\n' >/etc/systemd/system.conf.d/region.conf

# The address comes from /etc/region-address; no daemon watches the link, so the
# address stays when the cable is pulled.
cat >/usr/local/sbin/region-network <<'SCRIPT'
#!/bin/sh
set -e
ip link set lo up
ip address replace "$(cat /etc/region-address)" dev host0
ip link set host0 up
ip route replace default via 198.51.100.1
SCRIPT
cat >/etc/systemd/system/region-network.service <<'UNIT'
[Unit]
Description=Address of this host
DefaultDependencies=no
After=local-fs.target
Before=network.target
Wants=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/region-network

[Install]
WantedBy=sysinit.target
UNIT
mkdir -p /etc/systemd/system/sysinit.target.wants
ln -s /etc/systemd/system/region-network.service /etc/systemd/system/sysinit.target.wants/

# A host without systemd runs this instead of an init.
cat >/usr/local/sbin/region-init <<'SCRIPT'
#!/bin/sh
rm -f /run/*.pid
/usr/local/sbin/region-network
install -d -o postgres -g postgres -m 2775 /run/postgresql
while read -r service; do
	service "$service" start
done </etc/region-services
exec sleep infinity
SCRIPT
chmod 755 /usr/local/sbin/region-network /usr/local/sbin/region-init

mkdir -p /etc/ssh/sshd_config.d
cat >/etc/ssh/sshd_config.d/region.conf <<'CONF'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
CONF

# The cluster that the package made: its configuration stays, each server of a
# region gets data of its own.
rm -rf /var/lib/postgresql/15/main /var/log/postgresql/* /var/log/apt /var/log/*.log
mkdir -p /pitrix/run /pitrix/conf
install -d -m 700 /root/.ssh
