#!/usr/bin/python
"""Users, databases and what is in them, converged in one call on the server that may write."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_objects
short_description: Users, databases, schemas, extensions and grants of a PostgreSQL server
description:
  - Compares the wanted objects with the catalogs of the local server and changes what differs, in one call.
  - Does nothing on a server that is in recovery.
  - What is not listed is never touched; an object is dropped only by O(users[].state=absent) and its like.
  - Passwords are sent as SCRAM verifiers and compared by them, so a second run with the same password changes nothing.
  - Connects through the socket as the operating system user O(become_user); needs psycopg2 on the host.
options:
  users:
    description: Roles that log in, or groups of them.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the role., type: str, required: true}
      state: {description: Whether it exists., type: str, choices: [present, absent], default: present}
      password: {description: "Password in clear, or a ready SCRAM verifier. Left alone when not given.", type: str}
      login: {description: Whether it may log in., type: bool, default: true}
      createdb: {description: Whether it may create databases., type: bool, default: false}
      createrole: {description: Whether it may create roles., type: bool, default: false}
      replication: {description: Whether it may stream the write-ahead log., type: bool, default: false}
      connection_limit: {description: "How many sessions it may have, -1 for any.", type: int, default: -1}
      member_of: {description: Roles that it is a member of., type: list, elements: str, default: []}
      settings: {description: Settings of its sessions; null resets one., type: dict, default: {}}
  databases:
    description: Databases and what is in them.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the database., type: str, required: true}
      state: {description: Whether it exists., type: str, choices: [present, absent], default: present}
      owner: {description: Role that owns it., type: str}
      encoding: {description: Encoding of a new database., type: str}
      locale: {description: Locale of a new database., type: str}
      connection_limit: {description: "How many sessions it may have, -1 for any.", type: int, default: -1}
      public_connect: {description: Whether every role may connect to it., type: bool, default: false}
      settings: {description: Settings of its sessions; null resets one., type: dict, default: {}}
      search_path: {description: Schemas that its sessions look in., type: list, elements: str}
      schemas:
        description: Schemas in it.
        type: list
        elements: dict
        default: []
        suboptions:
          name: {description: Name of the schema., type: str, required: true}
          state: {description: Whether it exists., type: str, choices: [present, absent], default: present}
          owner: {description: Role that owns it; by default the owner of the database., type: str}
      extensions:
        description: Extensions in it.
        type: list
        elements: dict
        default: []
        suboptions:
          name: {description: Name of the extension., type: str, required: true}
          state: {description: Whether it exists., type: str, choices: [present, absent], default: present}
          schema: {description: Schema that a new one is put in., type: str}
          version: {description: Version that it is brought to., type: str}
      grants:
        description: Privileges in it.
        type: list
        elements: dict
        default: []
        suboptions:
          role: {description: Who is given them; C(PUBLIC) is everybody., type: str, required: true}
          state: {description: Whether they are given., type: str, choices: [present, absent], default: present}
          "on":
            description: On what; for tables, sequences and functions also on those that O(databases[].grants[].created_by) makes later.
            type: str
            choices: [database, schema, tables, sequences, functions]
            required: true
          schema: {description: Schema that the objects are in., type: str, default: public}
          privileges: {description: Their names; C(ALL) is each that there is., type: list, elements: str, required: true}
          created_by: {description: Whose later objects are included; by default the owner's., type: list, elements: str}
  port: {description: Port of the server., type: int, default: 5432}
  socket_directory: {description: Folder of its socket., type: path, default: /var/run/postgresql}
  become_user: {description: Operating system user and role to connect as., type: str, default: postgres}
attributes:
  check_mode: {description: Reports what it would change., support: full}
  diff_mode: {description: Lists the changes without any secret., support: full}
author: ["The Elephant authors (@elephant)"]
"""

EXAMPLES = r"""
- name: The application has its database
  elephant.ha.database_objects:
    users:
      - {name: app, password: "{{ app_password }}"}
    databases:
      - {name: app, owner: app, extensions: [{name: pg_trgm}]}
"""

RETURN = r"""
leader: {description: Whether this server may write; on any other nothing is done., type: bool, returned: success}
changes: {description: A sentence for each change., type: list, elements: str, returned: success}
"""

import contextlib
import os
import pwd
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.elephant.ha.plugins.module_utils.scram import is_verifier, make_verifier, matches

try:
    import psycopg2
    from psycopg2.extras import RealDictCursor
    from psycopg2.sql import SQL, Composed, Identifier, Literal

    UNREACHABLE: tuple[type[Exception], ...] = (LookupError, psycopg2.OperationalError)
    PSYCOPG2 = True
except ImportError:
    UNREACHABLE, PSYCOPG2 = (LookupError,), False

# As in PostgreSQL (GUC_LIST_QUOTE): their values are lists of names, stored quoted one by one.
LIST_SETTINGS = {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"}
ROLE_FLAGS = {"login": "rolcanlogin", "createdb": "rolcreatedb", "createrole": "rolcreaterole", "replication": "rolreplication"}
# For each kind of grant: letter in acldefault(), letter in pg_default_acl, word of GRANT, and the owner and acl of each object.
RELATIONS = "SELECT relowner AS owner, relacl AS acl FROM pg_class WHERE relnamespace = %(schema)s AND relkind = ANY({})"
GRANTS = {
    "database": (
        "d",
        None,
        "DATABASE",
        "SELECT datdba AS owner, datacl AS acl FROM pg_database WHERE datname = current_database()",
    ),
    "schema": (
        "n",
        None,
        "SCHEMA",
        "SELECT nspowner AS owner, nspacl AS acl FROM pg_namespace WHERE oid = %(schema)s",
    ),
    "tables": ("r", "r", "TABLES", RELATIONS.format("'{r,p,v,m,f}'")),
    "sequences": ("s", "S", "SEQUENCES", RELATIONS.format("'{S}'")),
    "functions": (
        "f",
        "f",
        "ROUTINES",
        "SELECT proowner AS owner, proacl AS acl FROM pg_proc WHERE pronamespace = %(schema)s",
    ),
}
# A row where an object has a privilege that it should not have, or lacks one that it should.
DIFFERING = """
SELECT 1 FROM ({}) o CROSS JOIN unnest(%(privileges)s::text[]) AS p
 WHERE %(given)s <> EXISTS (SELECT FROM aclexplode(coalesce(o.acl, acldefault(%(letter)s, o.owner))) a
                             WHERE a.grantee = %(role)s AND a.privilege_type = p)
 LIMIT 1
"""
DEFAULT_PRIVILEGES = """
SELECT privilege_type AS name FROM pg_default_acl d, aclexplode(d.defaclacl) a
 WHERE pg_get_userbyid(d.defaclrole) = %(creator)s AND d.defaclnamespace = %(schema)s AND d.defaclobjtype = %(kind)s
   AND a.grantee = %(role)s
"""
GROUPS = """
SELECT g.rolname::text AS name FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member
 WHERE r.rolname = %(name)s
"""
# Objects of a user's database must not steer a superuser's statements, nor a verifier reach the log.
SESSION = (
    "-c search_path=pg_catalog -c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic"
    " -c default_transaction_read_only=off -c lock_timeout=30s"
)


class Server:
    """The local server: queries always run, statements only outside check mode, and each is recorded as a sentence."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.changes: list[str] = []
        self.connection: Any = None

    @contextlib.contextmanager
    def connected(self, database: str) -> Iterator[None]:
        """Work in this database; the former one comes back afterwards."""
        former, user = self.connection, self.module.params["become_user"]
        account = pwd.getpwnam(user)
        # The socket's peer check reads the effective user at the moment of connecting.
        root = os.geteuid() == 0
        if root:
            os.seteuid(account.pw_uid)
        try:
            self.connection = psycopg2.connect(
                host=self.module.params["socket_directory"],
                port=self.module.params["port"],
                dbname=database,
                user=user,
                client_encoding="UTF8",
                connect_timeout=10,
                options=SESSION,
            )
        finally:
            if root:
                os.seteuid(0)
        self.connection.autocommit = True
        try:
            yield
        finally:
            self.connection.close()
            self.connection = former

    def query(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def change(self, sentence: str, *statements: Composed) -> None:
        self.changes.append(sentence)
        if self.module.check_mode:
            return
        with self.connection.cursor() as cursor:
            for statement in statements:
                try:
                    cursor.execute(statement)
                except psycopg2.Error as error:
                    reason = " ".join(filter(None, [error.diag.message_primary, error.diag.message_detail, error.diag.message_hint]))
                    self.module.fail_json(
                        msg=f"{sentence}: PostgreSQL refused: {reason or error}", changed=len(self.changes) > 1, changes=self.changes[:-1]
                    )


def wanted(items: list[dict[str, Any]], state: str) -> list[dict[str, Any]]:
    return [it for it in items if it["state"] == state]


def stored_form(server: Server, name: str, value: Any) -> tuple[str, Composed]:
    """A setting's value as pg_db_role_setting holds it, and as ALTER takes it."""
    if name in LIST_SETTINGS:
        if not isinstance(value, list):
            server.module.fail_json(msg=f"The setting {name} is {value!r}; give it as a list of names.")
        quoted = server.query(
            "SELECT string_agg(quote_ident(it), ', ' ORDER BY nr) AS text FROM unnest(%(v)s::text[]) WITH ORDINALITY AS t(it, nr)", v=value
        )
        return quoted[0]["text"] or '""', SQL(", ").join(map(Literal, value or [""]))
    text = {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return text, Composed([Literal(text)])


def converge_settings(server: Server, kind: str, name: str, settings: dict[str, Any]) -> None:
    """Settings of all sessions of a role (ROLE) or in a database (DATABASE)."""
    catalog = {
        "ROLE": "setrole = (SELECT oid FROM pg_roles WHERE rolname = %(n)s) AND setdatabase = 0",
        "DATABASE": "setdatabase = (SELECT oid FROM pg_database WHERE datname = %(n)s) AND setrole = 0",
    }[kind]
    rows = server.query(f"SELECT unnest(setconfig) AS text FROM pg_db_role_setting WHERE {catalog}", n=name)
    current = dict(row["text"].split("=", 1) for row in rows)
    head = SQL(f"ALTER {kind} {{}} ").format(Identifier(name))
    for setting, value in settings.items():
        # An extension's setting has a dot between two names.
        words = SQL(".").join(map(Identifier, setting.split(".")))
        if value is None:
            if setting in current:
                server.change(f"{kind.lower()} {name}: {setting} reset", head + SQL("RESET {}").format(words))
            continue
        text, literal = stored_form(server, setting, value)
        if current.get(setting) != text:
            server.change(f"{kind.lower()} {name}: {setting} = {text}", head + SQL("SET {} TO ").format(words) + literal)


def converge_user(server: Server, user: dict[str, Any], found: dict[str, Any] | None) -> None:
    name, password = user["name"], user["password"]
    subject, role = f"user {name}", Identifier(name)
    flags = {flag: user[flag] for flag, column in ROLE_FLAGS.items() if found is None or found[column] != user[flag]}
    words = [SQL(flag.upper() if on else f"NO{flag.upper()}") for flag, on in flags.items()]
    reasons = [f"{flag} {'on' if on else 'off'}" for flag, on in flags.items()]
    if found is None or found["rolconnlimit"] != user["connection_limit"]:
        words.append(SQL("CONNECTION LIMIT {}").format(Literal(user["connection_limit"])))
        reasons.append(f"connection limit {user['connection_limit']}")
    if password is not None and not matches(password, found and found["rolpassword"]):
        words.append(SQL("PASSWORD {}").format(Literal(password if is_verifier(password) else make_verifier(password))))
        reasons.append("password set")
    if found is None:
        server.change(f"{subject}: created", SQL("CREATE ROLE {} ").format(role) + SQL(" ").join(words))
    elif words:
        server.change(f"{subject}: {', '.join(reasons)}", SQL("ALTER ROLE {} ").format(role) + SQL(" ").join(words))
    groups = {row["name"] for row in server.query(GROUPS, name=name)}
    for group in user["member_of"]:
        if group not in groups:
            server.change(f"{subject}: member of {group}", SQL("GRANT {} TO {}").format(Identifier(group), role))


def converge_users(server: Server, users: list[dict[str, Any]]) -> None:
    rows = server.query("SELECT * FROM pg_authid WHERE rolname = ANY(%(names)s)", names=[it["name"] for it in users])
    found = {row["rolname"]: row for row in rows}
    # Roles that others are made members of come first, whatever their place in the list.
    groups = {group for it in users for group in it["member_of"]}
    for user in sorted(wanted(users, "present"), key=lambda it: it["name"] not in groups):
        converge_user(server, user, found.get(user["name"]))
        converge_settings(server, "ROLE", user["name"], user["settings"])


def converge_database(server: Server, database: dict[str, Any], found: dict[str, Any] | None) -> None:
    """The database itself, as far as it is seen from outside it."""
    name, owner = database["name"], database["owner"]
    subject, target = f"database {name}", Identifier(name)
    if found is None:
        words = [SQL("OWNER {}").format(Identifier(owner))] if owner else []
        words += [SQL(f"{word} {{}}").format(Literal(database[word.lower()])) for word in ("ENCODING", "LOCALE") if database[word.lower()]]
        # Only template0 may be copied in another encoding or locale.
        words += [SQL("TEMPLATE template0")] if database["encoding"] or database["locale"] else []
        words.append(SQL("CONNECTION LIMIT {}").format(Literal(database["connection_limit"])))
        server.change(f"{subject}: created", SQL("CREATE DATABASE {} ").format(target) + SQL(" ").join(words))
    else:
        if owner and found["owner"] != owner:
            server.change(f"{subject}: owner {owner}", SQL("ALTER DATABASE {} OWNER TO {}").format(target, Identifier(owner)))
        if found["datconnlimit"] != database["connection_limit"]:
            limit = Literal(database["connection_limit"])
            server.change(
                f"{subject}: connection limit {limit.wrapped}", SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(target, limit)
            )
    if database["public_connect"] != (found is None or found["public"]):
        verb = (
            "GRANT CONNECT, TEMPORARY ON DATABASE {} TO PUBLIC" if database["public_connect"] else "REVOKE ALL ON DATABASE {} FROM PUBLIC"
        )
        sentence = f"{subject}: every role {'may' if database['public_connect'] else 'may not'} connect"
        server.change(sentence, SQL(verb).format(target))
    path = {} if database["search_path"] is None else {"search_path": database["search_path"]}
    converge_settings(server, "DATABASE", name, database["settings"] | path)


def refuse_what_cannot_change(server: Server, databases: list[dict[str, Any]], found: dict[str, dict[str, Any]]) -> None:
    """Encoding and locale are for ever; said before anything is changed."""
    for database in wanted(databases, "present"):
        name = database["name"]
        for fixed in ("encoding", "locale") if name in found else ():
            current = found[name][fixed]
            if database[fixed] and database[fixed].upper() not in {it.upper() for it in current}:
                reason = f"is {current[0]}, not {database[fixed]}, and cannot be changed: dump it into a new database"
                server.module.fail_json(msg=f"The {fixed} of database {name} {reason}.")


DATABASES = """
SELECT datname::text AS name, pg_get_userbyid(datdba)::text AS owner, datconnlimit, ARRAY[pg_encoding_to_char(encoding)::text] AS encoding,
       ARRAY[datcollate, datctype] AS locale,
       EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0 AND privilege_type = 'CONNECT') AS public
  FROM pg_database
"""


def converge_schemas(server: Server, subject: str, schemas: list[dict[str, Any]], default_owner: str) -> None:
    found = {
        row["name"]: row["owner"]
        for row in server.query("SELECT nspname::text AS name, pg_get_userbyid(nspowner)::text AS owner FROM pg_namespace")
    }
    for schema in wanted(schemas, "present"):
        name, owner = schema["name"], schema["owner"] or default_owner
        if name not in found:
            server.change(
                f"{subject}: schema {name} created", SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(Identifier(name), Identifier(owner))
            )
        # The owner of public is a role that stands for the database's owner: changed only when asked.
        elif found[name] != owner and (schema["owner"] or found[name] != "pg_database_owner"):
            server.change(
                f"{subject}: schema {name} owner {owner}", SQL("ALTER SCHEMA {} OWNER TO {}").format(Identifier(name), Identifier(owner))
            )


def converge_extensions(server: Server, subject: str, extensions: list[dict[str, Any]]) -> None:
    found = {row["extname"]: row["extversion"] for row in server.query("SELECT extname::text, extversion FROM pg_extension")}
    for extension in extensions:
        name, version = extension["name"], extension["version"]
        target = Identifier(name)
        if extension["state"] == "absent":
            if name in found:
                server.change(f"{subject}: extension {name} dropped", SQL("DROP EXTENSION {}").format(target))
        elif name not in found:
            words = [SQL("SCHEMA {}").format(Identifier(extension["schema"]))] if extension["schema"] else []
            words += [SQL("VERSION {}").format(Literal(version))] if version else []
            # An extension without a schema of its own goes into the first of the path, which for our session is the catalog.
            create = [
                SQL("SET search_path TO public"),
                SQL("CREATE EXTENSION {} ").format(target) + SQL(" ").join(words),
                SQL("SET search_path TO pg_catalog"),
            ]
            server.change(f"{subject}: extension {name} created", *create)
        elif version and found[name] != version:
            server.change(f"{subject}: extension {name} {version}", SQL("ALTER EXTENSION {} UPDATE TO {}").format(target, Literal(version)))


def known_privileges(server: Server, subject: str, grant: dict[str, Any]) -> list[str]:
    """The names that the grant asks for, each known to this version of the server."""
    letter = GRANTS[grant["on"]][0]
    rows = server.query("SELECT privilege_type AS name FROM aclexplode(acldefault(%(l)s, 10)) WHERE grantee = 10", l=letter)
    known = [row["name"] for row in rows]
    unknown = ", ".join(sorted(set(grant["privileges"]) - {*known, "ALL"}))
    if unknown:
        server.module.fail_json(msg=f"{subject}: there is no privilege {unknown} on {grant['on']}; there are {', '.join(known)}.")
    return known if "ALL" in grant["privileges"] else grant["privileges"]


def converge_grant(server: Server, subject: str, grant: dict[str, Any], owner: str) -> None:
    """One grant, on what is there and on what will be created later."""
    letter, later, kind, objects = GRANTS[grant["on"]]
    role, schema, given = grant["role"], grant["schema"], grant["state"] == "present"
    privileges = known_privileges(server, subject, grant)
    roles = [{"oid": 0}] if role == "PUBLIC" else server.query("SELECT oid::bigint FROM pg_roles WHERE rolname = %(n)s", n=role)
    schemas = server.query("SELECT oid::bigint FROM pg_namespace WHERE nspname = %(n)s", n=schema)
    # In check mode the role or the schema may be only about to exist.
    complete = bool(roles and schemas)
    if not given and not complete:
        return
    verb, preposition = ("GRANT", "TO") if given else ("REVOKE", "FROM")
    head = SQL(f"{verb} {', '.join(privileges)} ON ")
    tail = SQL(f" {preposition} ") + (SQL("PUBLIC") if role == "PUBLIC" else Identifier(role))
    place = {"database": "the database", "schema": f"schema {schema}"}.get(grant["on"], f"{grant['on']} in {schema}")
    sentence = f"{subject}: {role} {'is given' if given else 'loses'} {', '.join(privileges)} on {place}"
    values = {"role": complete and roles[0]["oid"], "schema": complete and schemas[0]["oid"], "privileges": privileges, "letter": letter}
    if not complete or server.query(DIFFERING.format(objects), given=given, **values):
        name = Identifier(server.connection.info.dbname if grant["on"] == "database" else schema)
        server.change(sentence, head + SQL(f"ALL {kind} IN SCHEMA " if later else f"{kind} ") + name + tail)
    for creator in (grant["created_by"] or [owner]) if later else []:
        found = {row["name"] for row in server.query(DEFAULT_PRIVILEGES, creator=creator, kind=later, **values)} if complete else set()
        if creator != role and set(privileges) & found != (set(privileges) if given else set()):
            defaults = SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} ").format(Identifier(creator), Identifier(schema))
            server.change(f"{sentence}, later ones of {creator}", defaults + head + SQL(kind) + tail)


def converge_contents(server: Server, database: dict[str, Any]) -> None:
    subject = f"database {database['name']}"
    owner = server.query("SELECT pg_get_userbyid(datdba)::text AS name FROM pg_database WHERE datname = current_database()")[0]["name"]
    if server.module.check_mode and database["owner"]:
        owner = database["owner"]
    converge_schemas(server, subject, database["schemas"], owner)
    converge_extensions(server, subject, database["extensions"])
    for grant in database["grants"]:
        converge_grant(server, subject, grant, owner)
    found = {row["name"] for row in server.query("SELECT nspname::text AS name FROM pg_namespace")}
    for schema in wanted(database["schemas"], "absent"):
        if schema["name"] in found:
            server.change(f"{subject}: schema {schema['name']} dropped", SQL("DROP SCHEMA {}").format(Identifier(schema["name"])))


def converge(server: Server, users: list[dict[str, Any]], databases: list[dict[str, Any]]) -> None:
    """What others need first: roles, databases, their contents; then the removals, the other way round."""
    found = {row["name"]: row for row in server.query(DATABASES)}
    refuse_what_cannot_change(server, databases, found)
    converge_users(server, users)
    for database in wanted(databases, "present"):
        converge_database(server, database, found.get(database["name"]))
        insides = [*database["schemas"], *database["extensions"], *database["grants"]]
        # In check mode a database that is about to be made has no inside yet.
        if insides and (database["name"] in found or not server.module.check_mode):
            with server.connected(database["name"]):
                converge_contents(server, database)
    for database in wanted(databases, "absent"):
        if database["name"] in found:
            server.change(f"database {database['name']}: dropped", SQL("DROP DATABASE {}").format(Identifier(database["name"])))
    names = [it["name"] for it in wanted(users, "absent")]
    for row in server.query("SELECT rolname::text AS name FROM pg_roles WHERE rolname = ANY(%(names)s)", names=names):
        server.change(f"user {row['name']}: dropped", SQL("DROP ROLE {}").format(Identifier(row["name"])))


def text(required: bool = False, default: str | None = None) -> dict[str, Any]:
    return {"type": "str", "required": required} if required else {"type": "str", "default": default}


def flag(default: bool) -> dict[str, Any]:
    return {"type": "bool", "default": default}


def items(**options: dict[str, Any]) -> dict[str, Any]:
    common = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}
    return {"type": "list", "elements": "dict", "default": [], "options": common | options}


def names(required: bool = False, default: list[str] | None = None) -> dict[str, Any]:
    return {"type": "list", "elements": "str"} | ({"required": True} if required else {"default": default})


LIMIT = {"type": "int", "default": -1}
SETTINGS = {"type": "dict", "default": {}}
ARGUMENTS = {
    "users": items(
        name=text(required=True),
        password={"type": "str", "no_log": True},
        login=flag(True),
        createdb=flag(False),
        createrole=flag(False),
        replication=flag(False),
        connection_limit=LIMIT,
        member_of=names(default=[]),
        settings=SETTINGS,
    ),
    "databases": items(
        name=text(required=True),
        owner=text(),
        encoding=text(),
        locale=text(),
        connection_limit=LIMIT,
        public_connect=flag(False),
        settings=SETTINGS,
        search_path=names(),
        schemas=items(name=text(required=True), owner=text()),
        extensions=items(name=text(required=True), schema=text(), version=text()),
        grants=items(
            role=text(required=True),
            on={"type": "str", "choices": list(GRANTS), "required": True},
            schema=text(default="public"),
            privileges=names(required=True),
            created_by=names(),
        ),
    ),
    "port": {"type": "int", "default": 5432},
    "socket_directory": {"type": "path", "default": "/var/run/postgresql"},
    "become_user": text(default="postgres"),
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    server = Server(module)
    try:
        if not PSYCOPG2:
            raise LookupError(missing_required_lib("psycopg2"))
        pwd.getpwnam(module.params["become_user"])
        with server.connected("postgres"):
            leader = not server.query("SELECT pg_is_in_recovery() AS standby")[0]["standby"]
            if leader:
                converge(server, module.params["users"], module.params["databases"])
    except UNREACHABLE as error:
        reason = " ".join(str(error.args[0] if error.args else error).split())
        sentence = f"The local PostgreSQL cannot be asked: {reason}"
        # A blank host in check mode has no server yet, and that is no error.
        if module.check_mode:
            module.exit_json(skipped=True, msg=sentence, leader=False, changes=[])
        module.fail_json(msg=sentence)
    diff = {"before": "", "after": "".join(f"{it}\n" for it in server.changes)}
    result: dict[str, Any] = {"diff": diff} if server.changes else {}
    module.exit_json(changed=bool(server.changes), leader=leader, changes=server.changes, **result)


if __name__ == "__main__":
    main()
