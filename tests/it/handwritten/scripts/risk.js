// How likely it is that an order is paid.
var LIMITS = [{above: 1000, risk: 'high'}, {above: 100, risk: 'medium'}, {above: 0, risk: 'low'}];

function riskOf(amount) {
    if (typeof amount !== 'number' || isNaN(amount)) {
        throw new TypeError('amount is no number');
    }
    var found = LIMITS.filter(function (limit) { return amount > limit.above; });
    if (found.length === 0) {
        throw new RangeError('amount is not above 0');
    }
    return found[0].risk;
}

function mediate(mc) {
    var log = mc.getServiceLog();
    mc.setProperty('CONTENT_TYPE', 'application/json');
    try {
        var risk = riskOf(mc.getPayloadJSON().amount);
        log.info('risk ' + risk);
        mc.setPayloadJSON({risk: risk});
    } catch (error) {
        mc.setProperty('HTTP_SC', error instanceof RangeError ? '422' : '400');
        mc.setPayloadJSON({error: error.name + ': ' + error.message});
    }
}
