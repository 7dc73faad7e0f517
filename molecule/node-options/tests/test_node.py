"""Asked of sshd, apt, apt-mark, needrestart, sysctl, chrony and ufw, which others wrote."""

HELD = ("elephant-db-17", "elephant-tool")
PROTECTED = ("patroni", "elephant-db@main")


def test_passwords_stay_where_they_are_wanted(host):
    offered = host.run(
        "ssh -v -o StrictHostKeyChecking=no -o PreferredAuthentications=none -o UserKnownHostsFile=/dev/null root@127.0.0.1 true"
    )
    assert "Authentications that can continue: publickey,password\n" in offered.stderr.replace("\r", ""), offered.stderr


def test_the_real_ufw_filters_nothing_now_and_after_a_boot(host):
    assert host.check_output("ufw status") == "Status: inactive"
    assert "DROP" not in host.check_output("iptables --list-rules INPUT")
    assert host.run("/usr/lib/ufw/ufw-init force-reload").rc == 0
    assert "DROP" not in host.check_output("iptables --list-rules INPUT")


def test_swap_stays_where_it_is_wanted(host):
    assert "swap" in host.check_output("findmnt --fstab --noheadings --types swap")


def test_sysctl_would_promise_no_more_than_there_is(host):
    lines = host.check_output("/usr/lib/systemd/systemd-sysctl --cat-config").splitlines()
    settings = dict(line.split(" = ") for line in lines if " = " in line and not line.startswith(("#", ";")))
    assert settings["vm.swappiness"] == "5"
    assert settings["vm.overcommit_memory"] == "2"
    memory, swap = (int(line.split()[1]) for line in host.check_output("free --mebi").splitlines()[1:3])
    # What the kernel promises, with the swap that stays, is nine tenths of the memory, but never less than half of it.
    promised = memory * int(settings["vm.overcommit_ratio"]) // 100 + swap
    assert 0.88 * memory <= promised <= 0.91 * memory or int(settings["vm.overcommit_ratio"]) == 50


def test_a_setting_of_the_containers_own_is_in_the_running_kernel(host):
    assert host.check_output("sysctl --values net.ipv4.tcp_keepalive_time") == "120"


def test_the_packages_besides_the_roles_own_are_there(host):
    assert host.check_output("dpkg-query --show --showformat='${db:Status-Status}' jq") == "installed"


def test_chrony_runs_with_the_servers_it_was_given(host):
    assert host.service("chrony").is_running and host.service("chrony").is_enabled
    sources = host.check_output("timeout 30 sh -c 'until chronyc -n sources 2>/dev/null | grep -q 124; do :; done; chronyc -n sources'")
    assert "192.0.2.123" in sources and "192.0.2.124" in sources


def test_a_chrony_that_stopped_or_has_not_read_its_servers_is_put_right(host, converge):
    expected = {("host-1", "The clock is kept, now and after a boot")}
    for command in ("systemctl disable --now chrony", "touch /etc/chrony/sources.d/elephant.sources"):
        host.check_output(command)
        run = converge()
        assert (run.status, run.changed) == (0, expected), run.output
    assert host.service("chrony").is_running and host.service("chrony").is_enabled


def pids(host):
    return {unit: host.check_output(f"systemctl show --value --property MainPID {unit}") for unit in (*PROTECTED, "ordinary")}


def versions(host):
    return dict(line.split() for line in host.check_output("dpkg-query --show 'elephant-*'").splitlines())


def test_upgrades_that_run_by_themselves_leave_the_database_alone(host):
    before = pids(host)
    assert versions(host) == dict.fromkeys((*HELD, "elephant-other"), "1"), "all must be upgradable"

    host.check_output("unattended-upgrade --debug")
    host.check_output("DEBIAN_FRONTEND=noninteractive needrestart -r a")

    assert versions(host) == dict.fromkeys(HELD, "1") | {"elephant-other": "2"}
    after = pids(host)
    assert {unit: after[unit] for unit in PROTECTED} == {unit: before[unit] for unit in PROTECTED}
    assert after["ordinary"] != before["ordinary"], "needrestart must be able to restart one"


def test_a_person_who_upgrades_everything_keeps_the_held_ones_too(host):
    host.check_output("DEBIAN_FRONTEND=noninteractive apt-get --yes -o Dpkg::Use-Pty=0 dist-upgrade --no-download")
    assert versions(host) == dict.fromkeys(HELD, "1") | {"elephant-other": "2"}
    # By preference, not by dpkg's hold, which would also forbid the first installation; a person's own hold is theirs.
    assert host.check_output("apt-mark showhold") == ""
    assert "elephant-tool (2 " in host.check_output("apt-get --simulate install elephant-tool=2")


def test_a_cloud_init_that_is_not_done_is_waited_for_and_then_said(host, converge):
    host.check_output("rm /run/cloud-init-done")
    run = converge("--check")
    host.check_output("touch /run/cloud-init-done")
    assert run.status != 0
    assert "cloud-init is not done after 5 s" in run.output


def test_exactly_what_drifted_is_repaired(host, converge):
    host.check_output("sysctl --write net.ipv4.tcp_keepalive_time=7200")
    host.check_output("chmod 0666 /etc/apt/preferences.d/elephant && rm /etc/needrestart/conf.d/elephant.conf && ufw --force enable")

    run = converge()

    assert run.status == 0, run.output
    assert run.changed == {
        ("host-1", "The configuration is in place"),
        ("host-1", "The kernel has its settings"),
        ("host-1", "The image's ufw lets everything through"),
    }, run.output
    assert host.file("/etc/apt/preferences.d/elephant").mode == 0o644
    assert converge().changed == set()
