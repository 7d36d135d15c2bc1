/*
 * Sends one of the responses of an operation. `responses` holds bodies by code (200, "2XX", "default") and by media type; `headers` holds
 * headers by code.
 */
function answer(code, responses, headers, accept) {
    if (!code) {
        return problem(501, 'There is no answer', 'The definition says nothing of what this operation answers.');
    }
    code = String(code).trim();
    if (!/^[2-5]\d\d$/.test(code)) {
        return problem(400, 'The preference is not valid', '`' + code + '` is no status from 200 to 599.');
    }
    var key = [code, code.slice(0, 2) + 'X', code[0] + 'XX', 'default'].find(function (key) {
        return responses.hasOwnProperty(key);
    });
    if (key === undefined) {
        return problem(501, 'There is no such answer', 'The definition has no answer ' + code + ' here, and no default.',
            {codes: Object.keys(responses)});
    }
    var types = Object.keys(responses[key]);
    var type = accepted(types, accept);
    if (types.length > 0 && type === undefined) {
        return problem(406, 'No such media type', 'The request accepts none of the media types that this answer has.', {types: types});
    }
    mc.setProperty('HTTP_SC', code);
    var named = headers[key] || {};
    Object.keys(named).forEach(function (name) {
        mc.setProperty(name, named[name], 'transport');
    });
    if (type === undefined) {
        return;
    }
    var body = responses[key][type];
    mc.setProperty('CONTENT_TYPE', type);
    if (/^[^;]*[\/+]json/i.test(type)) {
        mc.setPayloadJSON(body);
    } else if (/^[^;]*[\/+]xml/i.test(type) && body.trim() !== '') {
        mc.setPayloadXML(body);
    } else {
        mc.setPayloadText(body);
    }
}

/*
 * The media type that the client accepts most (RFC 9110): of equally good ones JSON, then the first. Without an Accept header all are accepted.
 */
function accepted(types, accept) {
    var ranges = (accept || '*/*').split(',').map(function (range) {
        var parts = range.toLowerCase().split(';').map(function (part) { return part.trim(); });
        var at = parts.findIndex(function (part) { return /^q\s*=/.test(part); });
        var weight = at < 0 ? 1 : Number(parts[at].split('=')[1]);
        return {
            type: parts[0] === '*' ? '*/*' : parts[0],
            parameters: parts.slice(1, at < 0 ? parts.length : at),
            weight: isNaN(weight) ? 1 : weight
        };
    });
    var best, most = 0;
    types.forEach(function (type) {
        var parts = type.toLowerCase().split(';').map(function (part) { return part.trim(); });
        var name = parts[0];
        var precision = -1, weight = 0;
        ranges.forEach(function (range) {
            var fits = range.type === '*/*' ? 0
                : range.type === name.split('/')[0] + '/*' ? 1
                : range.type === name && range.parameters.every(function (one) {
                    return parts.includes(one) || one === 'charset=utf-8';
                }) ? 2 + range.parameters.length : -1;
            if (fits >= precision && fits >= 0) {
                precision = fits;
                weight = range.weight;
            }
        });
        if (weight > most || (weight === most && weight > 0 && name === 'application/json' && !/^application\/json\b/i.test(best))) {
            best = type;
            most = weight;
        }
    });
    return best;
}

function problem(status, title, detail, more) {
    mc.setProperty('HTTP_SC', String(status));
    mc.setProperty('CONTENT_TYPE', 'application/problem+json');
    mc.setPayloadJSON(Object.assign({title: title, status: status, detail: detail}, more));
}
