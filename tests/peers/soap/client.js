// Calls operations of both services with node's `soap`, past the gateway and through it: what comes back must be the same.
const soap = require('soap');
const assert = require('assert');

const [server, gateway] = process.argv.slice(2);
const CALLS = [
    ['upper', { text: 'straße & <co>' }],
    ['add', { one: 2, other: 3 }],
    ['items', { count: 0 }],
    ['items', { count: 25 }],
    ['twice', { item: { name: 'ä & <b>', price: '2.50', since: '2026-02-03' } }],
    ['turn', { data: Buffer.from('hello').toString('base64') }],
    ['refuse', { reason: 'no stock of <ä>' }],
    ['crash', {}],
];

async function outcome(client, operation, values) {
    try {
        const [result] = await client[operation + 'Async'](values);
        return { result };
    } catch (error) {
        const fault = error.root && error.root.Envelope.Body.Fault;
        if (!fault) throw error;
        return { fault, status: error.response && error.response.status };
    }
}

(async () => {
    let done = 0, faults = 0;
    for (const name of ['Shop11', 'Shop12']) {
        const options = { forceSoap12Headers: name === 'Shop12', disableCache: true };
        const direct = await soap.createClientAsync(`${server}/${name.toLowerCase()}/?wsdl`, options);
        const through = await soap.createClientAsync(`${gateway}/services/${name}?wsdl`, options);
        for (const [operation, values] of CALLS) {
            const one = await outcome(direct, operation, values);
            const other = await outcome(through, operation, values);
            assert.deepStrictEqual(other, one, `${name}.${operation}`);
            done += 1;
            faults += 'fault' in one;
        }
    }
    console.log(`node soap: ${done} calls through the gateway equal to those past it, ${faults} of them faults`);
})().catch((error) => {
    console.error(error);
    process.exit(1);
});
