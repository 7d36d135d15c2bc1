// Runs once per context, after everything that scripts are given is there: from here on nothing that outlives a run can be changed.
(function () {
    "use strict";
    var seen = new Set();
    var waiting = [];
    function visit(value) {
        if ((typeof value === "object" && value !== null) || typeof value === "function") {
            if (!seen.has(value)) {
                seen.add(value);
                waiting.push(value);
            }
        }
    }
    // What literals alone reach.
    var hidden = [
        function* () {}, async function () {}, async function* () {}, [][Symbol.iterator](), new Map().entries(),
        new Set().entries(), ""[Symbol.iterator](), "".matchAll(/a/g), (function () { return arguments; })(), /a/, Promise.resolve(),
        Object.getOwnPropertyDescriptor((function () { "use strict"; return arguments; })(), "callee").get,
        (function* () {})(), (async function* () {})(), [].values().map ? [].values().map(String) : null
    ];
    hidden.forEach(function (value) {
        visit(value);
        visit(Object.getPrototypeOf(value));
    });
    visit(globalThis);
    // What objects inherit can still be replaced in them: a frozen `toString` would else make `x.toString = …` fail.
    function overridable(object, name) {
        var described = Object.getOwnPropertyDescriptor(object, name);
        if (!described || !("value" in described) || !described.configurable) {
            return;
        }
        var value = described.value;
        Object.defineProperty(object, name, {
            configurable: false,
            enumerable: described.enumerable,
            get: function () { return value; },
            set: function (replacement) {
                if (this === object) {
                    throw new TypeError("`" + String(name) + "` belongs to all scripts and cannot be changed");
                }
                Object.defineProperty(this, name, { value: replacement, writable: true, enumerable: true, configurable: true });
            }
        });
        visit(Object.getOwnPropertyDescriptor(object, name).get);
        visit(Object.getOwnPropertyDescriptor(object, name).set);
        visit(value);
    }
    Reflect.ownKeys(Object.prototype).forEach(function (name) { overridable(Object.prototype, name); });
    [Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError].forEach(function (kind) {
        ["name", "message", "toString", "constructor"].forEach(function (name) { overridable(kind.prototype, name); });
    });
    [Function, Array, Date, RegExp, Map, Set, Promise, String, Number, Boolean].forEach(function (kind) {
        ["toString", "constructor", "valueOf", "name", "toJSON"].forEach(function (name) { overridable(kind.prototype, name); });
    });
    while (waiting.length > 0) {
        var value = waiting.pop();
        visit(Object.getPrototypeOf(value));
        Reflect.ownKeys(value).forEach(function (name) {
            var described = Object.getOwnPropertyDescriptor(value, name);
            visit(described.value);
            visit(described.get);
            visit(described.set);
        });
        Object.freeze(value);
    }
})();
