// Without WebAssembly: the hook is a function, and the request an object with the methods that it calls.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lifecycle, onRequest } from './plugin.js';

const config = { account: { 12345678: 'sip:192.0.2.1:5060' }, line: { abc: '12345678' } };
const request = (headers, params = {}) => ({ header: (name) => headers[name], uriParam: (name) => params[name] });

test('account and line select the next hop', () => {
  lifecycle.init(JSON.stringify(config));
  for (const asked of [request({ 'X-Account': '12345678' }), request({}, { line: 'abc' })]) {
    const decision = onRequest.handle(asked);
    assert.equal(decision.tag, 'forward');
    assert.deepEqual(decision.val.groups[0].targets[0].options, [{ name: 'next-hop', value: 'sip:192.0.2.1:5060' }]);
  }
});

test('a configuration that cannot be used is refused with its key', () => {
  assert.throws(() => lifecycle.init('{"account":{"1":2}}'), (error) => error.startsWith('account.1:'));
});
