// A routing plugin for Jackfield: sends calls to the next hop of the account that X-Account, or the parameter `line` of the Request-URI,
// names.
//
//     [plugins.by-account.config]
//     account = { 12345678 = "sip:192.0.2.1:5060" }
//     line = { abc = "12345678" }

/** From the value of X-Account to the next hop. */
let accounts = new Map();
/** From the line to the account. */
let lines = new Map();

/** A table of strings out of the configuration. What `init` throws goes to the operator, so it names the key. */
function table(config, key) {
  const entries = Object.entries(config[key]);
  for (const [name, value] of entries) {
    if (typeof value !== 'string') throw `${key}.${name}: a string is wanted`;
  }
  return new Map(entries);
}

export const lifecycle = {
  init(json) {
    const config = { line: {}, ...JSON.parse(json) };
    for (const key of Object.keys(config)) {
      if (key !== 'account' && key !== 'line') throw `${key}: unknown key; there are account and line`;
    }
    if (typeof config.account !== 'object') throw 'account: this table is missing';
    accounts = table(config, 'account');
    lines = table(config, 'line');
    return [{ hooks: { request: true }, methods: ['INVITE'], statuses: [], ifHeader: [], initialOnly: true }];
  },
  selfCheck() {},
  shutdown() {},
};

const reply = (status, reason) => ({ tag: 'reply', val: { status, reason, headers: [] } });

function forward(nextHop, account) {
  const target = {
    route: [],
    weight: 1,
    edits: [{ tag: 'set', val: { name: 'X-Routed-By', value: 'by-account' } }],
    options: [{ name: 'next-hop', value: nextHop }],
    tag: account,
  };
  return { tag: 'forward', val: { groups: [{ mode: 'serial', targets: [target] }], edits: [], recordRoute: true, options: [] } };
}

export const onRequest = {
  handle(request) {
    const line = request.uriParam('line');
    const account = line === undefined ? request.header('X-Account') : lines.get(line);
    if (account === undefined) return line === undefined ? { tag: 'next', val: [] } : reply(404, 'Unknown Line');
    const nextHop = accounts.get(account);
    return nextHop === undefined ? reply(403, 'Unknown Account') : forward(nextHop, account);
  },
};
