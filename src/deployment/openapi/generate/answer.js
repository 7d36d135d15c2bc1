/*
 * Sends one of the responses of an operation. `responses` holds bodies by code (200, "2XX", "default") and by media type; `headers` holds
 * headers by code; `examples` holds bodies by code, media type and name. `Prefer: code=404, example=NAME` picks, as ?responseCode=404 and ?example=NAME do.
 *
 * Requests are not held against the definition here: `myelin mock` does that with the definition itself.
 */
function answer(code, responses, headers, accept, examples) {
    var wish = wishes(mc.getProperty('Prefer', 'transport'));
    var isAsked = wish.code !== undefined || Boolean(mc.getProperty('query.param.responseCode'));
    code = wish.code === undefined ? code : wish.code || ' ';
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
    var name = wish.example || mc.getProperty('query.param.example');
    var bodies = responses[key];
    if (name && examples) {
        var keys = isAsked ? [key] : [key].concat(Object.keys(responses));
        bodies = undefined;
        keys.forEach(function (other) {
            var found = named(examples[other] || {}, name);
            if (bodies === undefined && Object.keys(found).length > 0) {
                bodies = found;
                code = other === key ? code : other === 'default' ? '200' : other.replace(/X/g, '0');
                key = other;
            }
        });
        if (bodies === undefined) {
            return problem(501, 'There is no such example', 'The definition has no example `' + name + '` here.', {examples: names(examples, isAsked ? [key] : keys.slice(1))});
        }
    }
    var types = Object.keys(bodies);
    var type = accepted(types, accept);
    if (types.length > 0 && type === undefined) {
        return problem(406, 'No such media type', 'The request accepts none of the media types that this answer has.', {types: types});
    }
    mc.setProperty('HTTP_SC', code);
    var told = headers[key] || {};
    Object.keys(told).forEach(function (name) {
        mc.setProperty(name, told[name], 'transport');
    });
    if (wish.applied) {
        mc.setProperty('Preference-Applied', wish.applied, 'transport');
    }
    if (type === undefined) {
        return;
    }
    var body = bodies[type];
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
 * What stands in a Prefer header, and how it is said that this was heeded.
 */
function wishes(header) {
    var wish = {}, applied = [];
    (String(header || '').match(/(?:[^,;"\\]|\\.|"(?:[^"\\]|\\.)*")+/g) || []).forEach(function (part) {
        var at = part.indexOf('=');
        var name = (at < 0 ? part : part.slice(0, at)).trim().toLowerCase();
        if ((name === 'code' || name === 'example') && wish[name] === undefined) {
            var value = at < 0 ? '' : part.slice(at + 1).trim().replace(/^"(.*)"$/, '$1').replace(/\\(.)/g, '$1');
            var isPlain = /^[-!#$%&'*+.^_`|~0-9A-Za-z]*$/.test(value);
            applied.push(isPlain ? name + '=' + value : name + '="' + value.replace(/["\\]/g, '\\$&') + '"');
            wish[name] = value;
        }
    });
    wish.applied = applied.join(', ');
    return wish;
}

/*
 * The examples of a name by media type: as it is written, else in other capitals, if that is clear.
 */
function named(types, name) {
    var found = {};
    Object.keys(types).forEach(function (type) {
        var similar = Object.keys(types[type]).filter(function (other) { return other.toLowerCase() === name.toLowerCase(); });
        if (types[type].hasOwnProperty(name)) {
            found[type] = types[type][name];
        } else if (similar.length === 1) {
            found[type] = types[type][similar[0]];
        }
    });
    return found;
}

function names(examples, keys) {
    var all = [];
    keys.forEach(function (key) {
        Object.keys(examples[key] || {}).forEach(function (type) {
            Object.keys(examples[key][type]).forEach(function (name) {
                if (all.indexOf(name) < 0) {
                    all.push(name);
                }
            });
        });
    });
    return all;
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
