"""docs/concepts/patroni.md says what happens."""


def test_the_page_shows_what_one_sees(page, hosts):
    # The page begins with db-1; who came to lead while the scenario was made is no matter of it.
    if hosts.sql("db-1", "SELECT pg_is_in_recovery()") == "t":
        hosts.sh("db-1", "patronictl switchover --candidate db-1 --force")
        hosts.wait("db-1", "SELECT pg_is_in_recovery()", "f")
    page("patroni")
