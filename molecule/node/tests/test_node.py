"""Asked of sshd, apt, chrony, ufw and the kernel's own tools, not of the files that the role wrote."""

import pytest


@pytest.fixture
def turned(host):
    """Whether this is the host on which every option is turned."""
    return host.ansible.get_variables()["inventory_hostname"] == "turned"


def test_the_running_sshd_takes_keys_only(host):
    offered = host.run(
        "ssh -v -o StrictHostKeyChecking=no -o PreferredAuthentications=none -o UserKnownHostsFile=/dev/null root@127.0.0.1 true"
    )
    assert "Authentications that can continue: publickey\n" in offered.stderr.replace("\r", ""), offered.stderr
    assert "permitrootlogin without-password" in host.check_output("sshd -T")


def test_ufw_filters_nothing_now_and_after_a_boot(host):
    assert host.check_output("ufw status") == "Status: inactive"


def test_there_is_no_swap_and_none_comes_with_the_next_boot(host):
    assert host.check_output("swapon --show --noheadings") == ""
    assert not host.file("/swapfile").exists
    assert "swap" not in host.check_output("findmnt --fstab --noheadings --types swap || true")


def test_the_kernel_would_be_set_up_for_a_database(host, turned):
    # Non-namespaced settings cannot be written in a container: systemd says what it would write, in the order of a boot.
    lines = host.check_output("/usr/lib/systemd/systemd-sysctl --cat-config").splitlines()
    assert "vm.swappiness = 60" in lines, "no other file says otherwise"
    settings = dict(line.split(" = ") for line in lines if " = " in line and not line.startswith(("#", ";")))
    assert settings["vm.swappiness"] == ("5" if turned else "1")
    assert settings["vm.dirty_bytes"] == "536870912"
    assert ("vm.overcommit_memory" in settings) == turned
    if turned:
        assert 50 <= int(settings["vm.overcommit_ratio"]) <= 90


def test_who_asks_a_host_that_is_gone_is_told_so_before_a_patience_of_two_seconds(host, turned):
    asked = "import socket; socket.create_connection(('10.89.11.99', 5432), timeout=2)"
    said = host.run("python3 -c %s", asked).stderr
    assert ("No route to host" if turned else "timed out") in said, said


def test_held_packages_stay_while_others_are_upgraded(host, turned):
    host.check_output(
        "mkdir -p /tmp/bc/DEBIAN"
        " && printf 'Package: bc\\nVersion: 0.1\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n' > /tmp/bc/DEBIAN/control"
        " && dpkg-deb --build /tmp/bc /tmp/bc.deb && dpkg --install /tmp/bc.deb"
    )
    assert ("Inst bc" in host.check_output("apt-get --simulate upgrade")) == (not turned)
    assert ("Initial blacklist: ^bc$" in host.run("unattended-upgrade --dry-run --debug 2>&1").stdout) == turned
    # What is not there yet may come: the hold is on a version, not on the package.
    assert "Inst postgresql-17" in host.check_output("apt-get --simulate install postgresql-17")


def test_needrestart_leaves_protected_units_alone(host, turned):
    host.check_output("perl -c /etc/needrestart/needrestart.conf")
    asked = r"""perl -e 'our %nrconf; do "/etc/needrestart/needrestart.conf"; for my $unit (@ARGV) {
        for my $rule (keys %{$nrconf{override_rc}}) { print "$unit\n" if $unit =~ /$rule/ && !$nrconf{override_rc}{$rule} } }' """
    found = host.check_output(asked + "patroni.service postgresql@17-main.service patroniXservice cron.service").split()
    assert set(found) & {"patroni.service", "postgresql@17-main.service"} == (
        {"patroni.service", "postgresql@17-main.service"} if turned else set()
    )
    assert not set(found) & {"patroniXservice", "cron.service"}


def test_chrony_knows_the_servers_it_was_given(host, turned):
    assert host.service("chrony").is_enabled
    # Without CAP_SYS_TIME the unit is skipped; -x is chrony without a clock to set.
    host.check_output("mkdir -p /run/chrony && systemd-run --quiet --collect --unit chrony-look chronyd -x -d")
    sources = host.check_output(
        "timeout 60 sh -c 'until chronyc -n sources 2>/dev/null | grep -q =; do sleep 0.2; done; chronyc -n sources'"
    )
    host.check_output("systemctl stop chrony-look")
    assert ("192.0.2.123" in sources) == turned


def test_the_package_index_is_fresh(host, turned):
    # A day and the time of a run; the other host asks for ten hours.
    minutes = 600 if turned else 1500
    assert host.run(f"find /var/lib/apt/lists/partial -maxdepth 0 -mmin -{minutes} | grep -q .").rc == 0
