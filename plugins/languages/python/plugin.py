"""A routing plugin for Jackfield: sends calls to the next hop of the account that X-Account, or the parameter `line` of the Request-URI,
names.

    [plugins.by-account.config]
    account = { 12345678 = "sip:192.0.2.1:5060" }
    line = { abc = "12345678" }
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import types

# From the value of X-Account to the next hop, and from the line to the account.
accounts: dict[str, str] = {}
lines: dict[str, str] = {}


def table(config: dict, key: str) -> dict[str, str]:
    """A table of strings out of the configuration. The text of an Err goes to the operator, so it names the key."""
    for name, value in config[key].items():
        if not isinstance(value, str):
            raise Err(f"{key}.{name}: a string is wanted")
    return config[key]


class Lifecycle(exports.Lifecycle):
    def init(self, config, env):
        global accounts, lines
        given = {"line": {}, **json.loads(config)}
        for key in given:
            if key not in ("account", "line"):
                raise Err(f"{key}: unknown key; there are account and line")
        if not isinstance(given.get("account"), dict):
            raise Err("account: this table is missing")
        accounts = table(given, "account")
        lines = table(given, "line")
        return [types.Subscription(types.Hooks.REQUEST, ["INVITE"], [], [], None, True)]

    def self_check(self):
        pass

    def shutdown(self):
        pass


def reply(status: int, reason: str) -> types.Decision:
    return types.Decision_Reply(types.Reply(status, reason, [], None))


def forward(next_hop: str, account: str) -> types.Decision:
    target = types.Target(
        uri=None,
        route=[],
        egress=None,
        timeout_ms=None,
        weight=1,
        edits=[types.Edit_Set(types.NameValue("X-Routed-By", "by-account"))],
        options=[types.NameValue("next-hop", next_hop)],
        tag=account,
    )
    group = types.Group(types.Mode.SERIAL, [target])
    return types.Decision_Forward(types.Plan(groups=[group], edits=[], record_route=True, options=[]))


class OnRequest(exports.OnRequest):
    def handle(self, req):
        line = req.uri_param("line")
        account = req.header("X-Account") if line is None else lines.get(line)
        if account is None:
            return types.Decision_Next([]) if line is None else reply(404, "Unknown Line")
        next_hop = accounts.get(account)
        return reply(403, "Unknown Account") if next_hop is None else forward(next_hop, account)
