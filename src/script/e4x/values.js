// XML as scripts hold it (ECMA-357): values, their methods, and names. Evaluated when the first script needs it, in a context that is frozen already:
// what scripts can reach of it is frozen at its end, and `settings`, all that it keeps, is made new before each run.
(function (tree, ask) {
    "use strict";
    const {
        reset, textNode, isList, itemsOf, innerOf, list, single, copyOf, detach, nodesFrom, splice, inScope, prefixFor, nameOf, selected,
        hasSimpleContent, textOf, markupOf, fromText, listFromText, toXml, toItems, Piece, joined, put, resolve, putItem, same, ELEMENT,
        TEXT, COMMENT, INSTRUCTION, ATTRIBUTE, KINDS, INNER, DEFAULTS, settings, escapeAttribute
    } = tree;

    function nameFrom(value, attribute) {
        if (value === undefined) {
            return { uri: null, local: "*", attribute: attribute, deep: false };
        }
        if (value instanceof QName) {
            return { uri: value.uri, local: value.localName, attribute: attribute, deep: false };
        }
        const name = nameOf((attribute ? "@" : "") + String(value));
        return name;
    }

    function listOf(inner, name) {
        return wrapList(list(selected(inner, name), inner, name));
    }

    // Methods. Each gets what stands behind `this`.

    const METHODS = Object.create(null);
    // Children are hardly ever called so: these are given as they are, where there is no such child.
    const SELDOM = new Set([
        "toString", "toXMLString", "valueOf", "toJSON", "toLocaleString", "hasOwnProperty", "propertyIsEnumerable", "appendChild", "prependChild",
        "insertChildBefore", "insertChildAfter", "hasSimpleContent", "hasComplexContent", "nodeKind", "setName", "setLocalName", "setNamespace",
        "setChildren", "childIndex", "addNamespace", "removeNamespace", "inScopeNamespaces", "namespaceDeclarations", "processingInstructions",
        "localName", "getText", "setText", "getLocalName", "getFirstElement", "getChildElements", "getAttributeValue", "getDocumentElement",
        "getElementsByTagName", "getTextContent", "getAttribute", "getNodeName", "detach"
    ]);

    function method(name, run) {
        METHODS[name] = function (...values) {
            const inner = innerOf(this);
            if (inner === undefined) {
                throw new TypeError(name + "() is a method of XML");
            }
            return run(inner, ...values);
        };
    }

    method("toString", textOf);
    method("toLocaleString", textOf);
    method("toJSON", textOf);
    method("toXMLString", markupOf);
    method("valueOf", function (inner) { return outer(inner); });
    method("length", function (inner) { return itemsOf(inner).length; });
    method("hasSimpleContent", hasSimpleContent);
    method("hasComplexContent", function (inner) { return itemsOf(inner).length > 0 && !hasSimpleContent(inner); });
    method("children", function (inner) { return listOf(inner, nameOf("*")); });
    method("attributes", function (inner) { return listOf(inner, nameOf("@*")); });
    method("attribute", function (inner, name) { return listOf(inner, nameFrom(name, true)); });
    method("descendants", function (inner, name) { return listOf(inner, Object.assign(nameFrom(name, false), { deep: true })); });
    method("child", function (inner, name) {
        if (typeof name === "number" || isIndex(String(name))) {
            const found = itemsOf(inner).map(function (item) { return item.kind === ELEMENT ? item.children[Number(name)] : undefined; });
            return wrapList(list(found.filter(function (item) { return item !== undefined; }), null, null));
        }
        return listOf(inner, nameFrom(name, false));
    });
    method("elements", function (inner, name) {
        const found = selected(inner, nameFrom(name, false)).filter(function (item) { return item.kind === ELEMENT; });
        return wrapList(list(found, inner, nameFrom(name, false)));
    });
    function ofKind(name, kind) {
        method(name, function (inner, wanted) {
            const found = selected(inner, nameOf("*")).filter(function (item) {
                return item.kind === kind && (wanted === undefined || wanted === "*" || item.local === String(wanted));
            });
            return wrapList(list(found, null, null));
        });
    }
    ofKind("text", TEXT);
    ofKind("comments", COMMENT);
    ofKind("processingInstructions", INSTRUCTION);
    method("parent", function (inner) {
        const parents = new Set(itemsOf(inner).map(function (item) { return item.parent; }));
        const parent = parents.size === 1 ? parents.values().next().value : null;
        return parent === null ? undefined : wrap(parent);
    });
    method("copy", function (inner) {
        return isList(inner) ? wrapList(list(inner.items.map(copyOf), null, null)) : wrap(copyOf(inner));
    });
    method("contains", function (inner, value) {
        const other = innerOf(value);
        return itemsOf(inner).some(function (item) { return other === undefined ? textOf(item) == value : same(item, other); });
    });
    method("hasOwnProperty", function (inner, key) { return has(inner, String(key)); });
    method("propertyIsEnumerable", function (inner, key) { return isIndex(String(key)) && has(inner, String(key)); });
    method("normalize", function (inner) {
        (function merge(items) {
            items.forEach(function (item) {
                if (item.kind !== ELEMENT) {
                    return;
                }
                const merged = [];
                item.children.forEach(function (child) {
                    const last = merged[merged.length - 1];
                    if (child.kind === TEXT && last !== undefined && last.kind === TEXT) {
                        last.value += child.value;
                    } else if (child.kind !== TEXT || child.value !== "") {
                        merged.push(child);
                    }
                });
                item.children = merged;
                merge(merged);
            });
        })(itemsOf(inner));
        return outer(inner);
    });
    // Of one value alone.
    function one(name, run) {
        method(name, function (inner, ...values) { return run(single(inner, name), ...values); });
    }
    one("nodeKind", function (item) { return KINDS[item.kind]; });
    one("name", function (item) {
        return item.kind === TEXT || item.kind === COMMENT ? null : qualified(item.uri, item.local);
    });
    one("localName", function (item) { return item.kind === TEXT || item.kind === COMMENT ? null : item.local; });
    one("childIndex", function (item) {
        return item.parent === null || item.kind === ATTRIBUTE ? NaN : item.parent.children.indexOf(item);
    });
    one("namespace", function (item, prefix) {
        if (prefix === undefined) {
            return item.kind === ELEMENT || item.kind === ATTRIBUTE ? namespace(item.prefix, item.uri) : null;
        }
        const element = item.kind === ELEMENT ? item : item.parent;
        const found = element === null ? undefined
            : inScope(element).find(function (declared) { return declared[0] === String(prefix); });
        return found === undefined ? undefined : namespace(found[0], found[1]);
    });
    one("inScopeNamespaces", function (item) {
        return item.kind === ELEMENT ? inScope(item).map(function (declared) { return namespace(declared[0], declared[1]); }) : [];
    });
    one("namespaceDeclarations", function (item) {
        return item.kind === ELEMENT ? item.declarations.map(function (declared) { return namespace(declared[0], declared[1]); }) : [];
    });
    one("setLocalName", function (item, name) {
        item.local = name instanceof QName ? name.localName : String(name);
    });
    one("setName", function (item, name) {
        const to = nameFrom(name, item.kind === ATTRIBUTE);
        const uri = to.uri === null ? item.uri : to.uri;
        if (uri !== item.uri) {
            item.uri = uri;
            item.prefix = prefixFor(item.kind === ELEMENT ? item : item.parent, uri, item.kind === ATTRIBUTE);
        }
        item.local = to.local;
    });
    one("setNamespace", function (item, value) {
        const to = toNamespace(value);
        item.uri = to.uri;
        item.prefix = to.prefix === undefined ? prefixFor(item.kind === ELEMENT ? item : item.parent, to.uri, item.kind === ATTRIBUTE) : to.prefix;
    });
    one("addNamespace", function (item, value) {
        const to = toNamespace(value);
        if (item.kind === ELEMENT && to.prefix !== undefined) {
            item.declarations = item.declarations.filter(function (declared) { return declared[0] !== to.prefix; });
            item.declarations.push([to.prefix, to.uri]);
        }
        return wrap(item);
    });
    one("removeNamespace", function (item, value) {
        const to = toNamespace(value);
        if (item.kind === ELEMENT) {
            item.declarations = item.declarations.filter(function (declared) { return declared[1] !== to.uri; });
        }
        return wrap(item);
    });
    one("appendChild", function (item, value) { return add(item, item.children, value); });
    one("prependChild", function (item, value) { return add(item, [], value); });
    function add(item, before, value) {
        if (item.kind === ELEMENT) {
            splice(item, before.length, 0, nodesFrom(value));
        }
        return wrap(item);
    }
    function insert(name, shift) {
        one(name, function (item, beside, value) {
            if (item.kind !== ELEMENT) {
                return undefined;
            }
            const inner = innerOf(beside);
            let at = shift === 0 ? item.children.length : 0;
            if (inner !== undefined) {
                at = item.children.indexOf(single(inner, name));
                if (at < 0) {
                    return undefined;
                }
                at += shift;
            }
            splice(item, at, 0, nodesFrom(value));
            return wrap(item);
        });
    }
    insert("insertChildBefore", 0);
    insert("insertChildAfter", 1);
    one("setChildren", function (item, value) {
        if (item.kind === ELEMENT) {
            splice(item, 0, item.children.length, nodesFrom(value));
        }
        return wrap(item);
    });
    method("replace", function (inner, what, value) {
        if (what instanceof RegExp || typeof value === "function") {
            return textOf(inner).replace(what, value);
        }
        const item = single(inner, "replace");
        if (item.kind !== ELEMENT) {
            return wrap(item);
        }
        if (isIndex(String(what))) {
            if (Number(what) < item.children.length) {
                splice(item, Number(what), 1, nodesFrom(value));
            }
            return wrap(item);
        }
        const there = selected(item, nameFrom(what, false));
        if (there.length > 0) {
            const added = nodesFrom(value);
            const at = item.children.indexOf(there[0]);
            there.slice(1).forEach(detach);
            splice(item, at, 1, added);
        }
        return wrap(item);
    });
    // Values with simple content have the methods of strings.
    [
        "charAt", "charCodeAt", "codePointAt", "concat", "endsWith", "includes", "indexOf", "lastIndexOf", "localeCompare", "match", "matchAll",
        "padEnd", "padStart", "repeat", "replaceAll", "search", "slice", "split", "startsWith", "substr", "substring", "toLowerCase",
        "toUpperCase", "trim"
    ].forEach(function (name) {
        const run = String.prototype[name];
        method(name, function (inner, ...values) { return run.apply(textOf(inner), values); });
    });
    // What Java's trees are asked (Axiom's elements, and a few methods of DOM), for scripts of engines that hand those out.
    function ownText(item) {
        return item.kind !== ELEMENT ? item.value : item.children.reduce(function (text, child) {
            return child.kind === TEXT ? text + child.value : text;
        }, "");
    }
    function wholeText(item) {
        return item.kind !== ELEMENT ? item.value : item.children.reduce(function (text, child) {
            return child.kind === TEXT || child.kind === ELEMENT ? text + wholeText(child) : text;
        }, "");
    }
    function elementsOf(item) {
        return item.kind !== ELEMENT ? [] : item.children.filter(function (child) { return child.kind === ELEMENT; });
    }
    one("getText", ownText);
    one("getTextContent", wholeText);
    one("setText", function (item, text) {
        if (item.kind === ELEMENT) {
            splice(item, 0, item.children.length, [textNode(String(text))]);
        } else {
            item.value = String(text);
        }
    });
    one("getLocalName", function (item) { return item.local; });
    one("getNodeName", function (item) { return item.prefix === "" ? item.local : item.prefix + ":" + item.local; });
    one("getFirstElement", function (item) {
        const found = elementsOf(item);
        return found.length === 0 ? null : wrap(found[0]);
    });
    one("getChildElements", function (item) { return iteratorOf(elementsOf(item).map(wrap)); });
    one("getDocumentElement", wrap);
    one("getElementsByTagName", function (item, name) {
        const wanted = String(name);
        const found = selected(item, Object.assign(nameFrom("*", false), { deep: true })).filter(function (inner) {
            return inner.kind === ELEMENT && (wanted === "*" || METHODS.getNodeName.call(wrap(inner)) === wanted);
        });
        return javaList((METHODS.getNodeName.call(wrap(item)) === wanted ? [item] : []).concat(found).map(wrap));
    });
    one("getAttributeValue", function (item, name) {
        const found = selected(item, nameFrom(name, true));
        return found.length === 0 ? null : found[0].value;
    });
    one("getAttribute", function (item, name) {
        const found = selected(item, nameFrom(name, true));
        return found.length === 0 ? "" : found[0].value;
    });
    one("detach", function (item) {
        detach(item);
        return wrap(item);
    });
    // A list of JavaScript that answers as one of Java too.
    const LISTS = {
        get: function (index) {
            if (!(index >= 0 && index < this.length)) {
                throw new RangeError("there is no item " + index + " in this list, which has " + this.length);
            }
            return this[index];
        },
        item: function (index) { return index >= 0 && index < this.length ? this[index] : null; },
        size: function () { return this.length; },
        getLength: function () { return this.length; },
        isEmpty: function () { return this.length === 0; },
        iterator: function () { return iteratorOf(this); },
        toArray: function () { return this.slice(); }
    };
    function javaList(values) {
        Object.keys(LISTS).forEach(function (name) { Object.defineProperty(values, name, { value: LISTS[name] }); });
        return values;
    }
    function iteratorOf(values) {
        let at = 0;
        return {
            hasNext: function () { return at < values.length; },
            next: function () { return LISTS.get.call(values, at++); }
        };
    }

    // What `mc.getXpathResult` gives.
    function xpath(expression) {
        const namespaces = [];
        function asked(method, value, wanted) {
            const inner = innerOf(value);
            if (inner === undefined) {
                throw new TypeError(method + "() is asked of XML: give it mc.getPayloadXML(), or mc.parseXml(text)");
            }
            return ask(single(inner, method), expression, namespaces, wanted);
        }
        function node(found) {
            return typeof found === "object" ? wrap(found) : found;
        }
        return {
            selectNodes: function (value) { return javaList(asked("selectNodes", value, "nodes").map(node)); },
            selectSingleNode: function (value) {
                const found = asked("selectSingleNode", value, "nodes");
                return found.length === 0 ? null : node(found[0]);
            },
            evaluate: function (value) { return javaList(asked("evaluate", value, "nodes").map(node)); },
            stringValueOf: function (value) { return asked("stringValueOf", value, "text"); },
            numberValueOf: function (value) { return asked("numberValueOf", value, "number"); },
            booleanValueOf: function (value) { return asked("booleanValueOf", value, "boolean"); },
            addNamespace: function (prefix, uri) { namespaces.push([String(prefix), String(uri)]); },
            toString: function () { return expression; }
        };
    }

    function toPrimitive() {
        return textOf(innerOf(this));
    }

    function iterator() {
        return itemsOf(innerOf(this)).map(wrap)[Symbol.iterator]();
    }

    // `x.item.(@id == 3)`
    function filter(test) {
        return wrapList(list(itemsOf(innerOf(this)).filter(function (item) { return test(wrap(item)); }), null, null));
    }

    // What scripts hold

    function isIndex(key) {
        const first = key.charCodeAt(0);
        return first >= 48 && first <= 57 && String(key >>> 0) === key;
    }

    function wrap(item) {
        return item.proxy || (item.proxy = new Proxy(item, ONE));
    }

    function wrapList(inner) {
        return new Proxy({ inner: inner }, MANY);
    }

    function outer(inner) {
        return isList(inner) ? wrapList(inner) : wrap(inner);
    }

    function has(inner, key) {
        return isIndex(key) ? Number(key) < itemsOf(inner).length : selected(inner, nameOf(key)).length > 0;
    }

    function get(inner, key) {
        if (typeof key === "symbol") {
            switch (key) {
                case INNER: return inner;
                case Symbol.toPrimitive: return toPrimitive;
                case Symbol.iterator: return iterator;
                default: return undefined;
            }
        }
        if (isIndex(key)) {
            const item = itemsOf(inner)[Number(key)];
            return item === undefined ? undefined : wrap(item);
        }
        const run = METHODS[key];
        if (run === undefined) {
            return key === "()" ? filter : listOf(inner, nameOf(key));
        }
        const name = nameOf(key);
        const items = selected(inner, name);
        if (items.length === 0 && SELDOM.has(key)) {
            return run;
        }
        // `x.name` is the child, `x.name()` the method.
        const target = () => undefined;
        target.inner = list(items, inner, name);
        target.run = run;
        return new Proxy(target, MANY);
    }

    function set(inner, key, value) {
        if (typeof key === "symbol") {
            return false;
        }
        if (isIndex(key)) {
            if (!isList(inner)) {
                throw new TypeError("`[" + key + "] =` is for lists");
            }
            putItem(inner, Number(key), value);
            return true;
        }
        const name = nameOf(key);
        if (isList(inner) && inner.items.length > 1) {
            throw new TypeError("`" + key + "` cannot be assigned in a list of " + inner.items.length + ": choose one, as in [0]");
        }
        const element = resolve(inner);
        if (element !== null) {
            put(element, name, value);
        }
        return true;
    }

    function remove(inner, key) {
        if (typeof key === "symbol") {
            return true;
        }
        if (isIndex(key)) {
            if (!isList(inner)) {
                throw new TypeError("`delete x[" + key + "]` is for lists");
            }
            inner.items.splice(Number(key), 1).forEach(detach);
            return true;
        }
        selected(inner, nameOf(key)).forEach(detach);
        return true;
    }

    function traps(innerOfTarget, kind) {
        return {
            get: function (target, key) { return get(innerOfTarget(target), key); },
            set: function (target, key, value) { return set(innerOfTarget(target), key, value); },
            has: function (target, key) { return typeof key === "string" && has(innerOfTarget(target), key); },
            deleteProperty: function (target, key) { return remove(innerOfTarget(target), key); },
            apply: function (target, self, values) { return target.run.apply(self, values); },
            ownKeys: function (target) {
                return itemsOf(innerOfTarget(target)).map(function (item, index) { return String(index); });
            },
            getOwnPropertyDescriptor: function (target, key) {
                return typeof key === "string" && isIndex(key) && has(innerOfTarget(target), key)
                    ? { value: get(innerOfTarget(target), key), writable: true, enumerable: true, configurable: true }
                    : undefined;
            },
            defineProperty: function () { return false; },
            preventExtensions: function () { return false; },
            setPrototypeOf: function () { return false; },
            getPrototypeOf: function () { return kind().prototype; }
        };
    }
    const ONE = traps(function (target) { return target; }, function () { return XML; });
    const MANY = traps(function (target) { return target.inner; }, function () { return XMLList; });

    function XML(...values) {
        if (values.length === 0) {
            return wrap(textNode(""));
        }
        const item = toXml(values[0]);
        return wrap(new.target === undefined ? item : item.parent === null && innerOf(values[0]) === undefined ? item : copyOf(item));
    }

    function XMLList(value) {
        return wrapList(list(toItems(value).slice(), null, null));
    }

    function QName(one, other) {
        const it = new.target === undefined ? Object.create(QName.prototype) : this;
        const from = other === undefined ? one : other;
        if (from instanceof QName) {
            it.localName = from.localName;
            it.uri = from.uri;
        } else {
            const name = nameFrom(from === undefined ? "" : from, false);
            it.localName = name.local;
            it.uri = name.uri;
        }
        if (other !== undefined) {
            it.uri = one === null || one === "*" ? null : toNamespace(one).uri;
        }
        return it;
    }

    function qualified(uri, local) {
        const name = Object.create(QName.prototype);
        name.localName = local;
        name.uri = uri;
        return name;
    }

    Object.defineProperty(QName.prototype, "toString", {
        value: function () {
            return this.uri === "" ? this.localName : (this.uri === null ? "*" : this.uri) + "::" + this.localName;
        }
    });

    function Namespace(one, other) {
        const it = new.target === undefined ? Object.create(Namespace.prototype) : this;
        if (other !== undefined) {
            it.prefix = one === undefined || one === null ? undefined : String(one);
            it.uri = other instanceof QName ? other.uri : String(other);
        } else {
            const from = one === undefined ? { prefix: "", uri: "" } : toNamespace(one);
            it.prefix = from.prefix;
            it.uri = from.uri;
        }
        return it;
    }

    function namespace(prefix, uri) {
        const it = Object.create(Namespace.prototype);
        it.prefix = prefix;
        it.uri = uri;
        return it;
    }

    function toNamespace(value) {
        if (value instanceof Namespace) {
            return value;
        }
        const uri = value instanceof QName ? value.uri : String(value);
        return namespace(uri === "" ? "" : undefined, uri);
    }

    Object.defineProperty(Namespace.prototype, "toString", { value: function () { return this.uri; } });

    Object.keys(DEFAULTS).forEach(function (name) {
        Object.defineProperty(XML, name, {
            enumerable: true,
            get: function () { return settings[name]; },
            set: function (value) { settings[name] = typeof DEFAULTS[name] === "number" ? Number(value) : Boolean(value); }
        });
    });
    XML.settings = function () {
        const now = Object.assign({}, settings);
        delete now.space;
        return now;
    };
    XML.defaultSettings = function () { return Object.assign({}, DEFAULTS); };
    XML.setSettings = function (values) {
        const from = values === undefined || values === null ? DEFAULTS : values;
        Object.keys(DEFAULTS).forEach(function (name) {
            if (from[name] !== undefined) {
                XML[name] = from[name];
            }
        });
    };

    // What rewritten scripts call.
    const $xml = {
        literal: function (strings, ...values) { return wrap(fromText(joined(strings, values))); },
        list: function (strings, ...values) { return wrapList(list(listFromText(joined(strings, values)), null, null)); },
        attribute: function (value) {
            const inner = innerOf(value);
            return new Piece(escapeAttribute(inner === undefined ? String(value) : textOf(inner)));
        },
        name: function (space, local) {
            const uri = space === "*" || space === null ? "*" : toNamespace(space).uri;
            return uri + "::" + local;
        },
        tag: function (value) {
            if (value instanceof QName) {
                return new Piece(value.localName);
            }
            return new Piece(String(value));
        },
        each: function (value) {
            const inner = innerOf(value);
            if (inner !== undefined) {
                return itemsOf(inner).map(wrap);
            }
            const values = [];
            for (const key in value) {
                values.push(value[key]);
            }
            return values;
        },
        add: function (one, other) {
            const first = innerOf(one), second = innerOf(other);
            return first === undefined || second === undefined ? one + other : wrapList(list(itemsOf(first).concat(itemsOf(second)), null, null));
        },
        equal: function (one, other) {
            const first = innerOf(one), second = innerOf(other);
            if (first !== undefined && second !== undefined) {
                return same(first, second);
            }
            const empty = one === undefined ? second : other === undefined ? first : undefined;
            return empty === undefined ? one == other : itemsOf(empty).length === 0;
        },
        kind: function (value) { return innerOf(value) === undefined ? typeof value : "xml"; },
        get space() { return namespace("", settings.space); },
        set space(value) { settings.space = toNamespace(value).uri; }
    };

    // For the gateway's side.
    const port = {
        reset: reset,
        read: function (text) { return wrap(fromText(text)); },
        // The markup of a value; nothing for what is no XML.
        markup: function (value) {
            const inner = innerOf(value);
            return inner === undefined ? undefined : markupOf(inner);
        },
        isElement: function (value) {
            const items = itemsOf(innerOf(value));
            return items.length === 1 && items[0].kind === ELEMENT;
        },
        xpath: xpath,
        names: [$xml, XML, XMLList, Namespace, QName]
    };
    (function freeze(value) {
        if ((typeof value !== "object" && typeof value !== "function") || value === null || Object.isFrozen(value)) {
            return;
        }
        Object.freeze(value);
        Reflect.ownKeys(value).forEach(function (key) {
            const described = Object.getOwnPropertyDescriptor(value, key);
            [described.value, described.get, described.set].forEach(freeze);
        });
    })([port, METHODS, LISTS, toPrimitive, iterator, filter, Piece]);
    reset();
    return port;
})
