"""Without WebAssembly: the hook is a method, and the request an object with the methods that it calls.

`jackfield plugin test` writes the modules that plugin.py imports into build/bindings first, and sets PYTHONPATH to it.
"""

import json
import unittest

import plugin
from componentize_py_types import Err
from wit_world.imports import types


class Request:
    def __init__(self, headers, params):
        self.header = headers.get
        self.uri_param = params.get


class ByAccount(unittest.TestCase):
    def setUp(self):
        config = {"account": {"12345678": "sip:192.0.2.1:5060"}, "line": {"abc": "12345678"}}
        plugin.Lifecycle().init(json.dumps(config), None)

    def test_account_and_line_select_the_next_hop(self):
        for asked in (Request({"X-Account": "12345678"}, {}), Request({}, {"line": "abc"})):
            decision = plugin.OnRequest().handle(asked)
            self.assertIsInstance(decision, types.Decision_Forward)
            self.assertEqual(decision.value.groups[0].targets[0].options, [types.NameValue("next-hop", "sip:192.0.2.1:5060")])

    def test_a_configuration_that_cannot_be_used_is_refused_with_its_key(self):
        with self.assertRaises(Err) as refused:
            plugin.Lifecycle().init('{"account":{"1":2}}', None)
        self.assertTrue(refused.exception.value.startswith("account.1:"))


if __name__ == "__main__":
    unittest.main()
