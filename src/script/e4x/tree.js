// XML as a tree (ECMA-357): nodes, their names and texts, reading, and what assignments do. What scripts hold of it is in values.js.
(function (parse, find, write, escapeText, escapeAttribute) {
    "use strict";
    const ELEMENT = 1, TEXT = 2, COMMENT = 3, INSTRUCTION = 4, ATTRIBUTE = 5;
    const KINDS = ["", "element", "text", "comment", "processing-instruction", "attribute"];
    // What stands behind a value that scripts hold: a node, or a list.
    const INNER = Symbol("inner");

    const DEFAULTS = {
        ignoreComments: true, ignoreProcessingInstructions: true, ignoreWhitespace: true, prettyPrinting: false, prettyIndent: 2
    };
    const settings = {};

    function reset() {
        Object.assign(settings, DEFAULTS);
        settings.space = "";
    }

    // Nodes

    function node(kind, uri, local, prefix, value) {
        const inner = kind === ELEMENT ? [] : null;
        return {
            kind: kind, uri: uri, local: local, prefix: prefix, value: value, parent: null, children: inner,
            attributes: kind === ELEMENT ? [] : null, declarations: kind === ELEMENT ? [] : null
        };
    }

    function textNode(value) {
        return node(TEXT, "", "", "", value);
    }

    function isList(inner) {
        return inner.items !== undefined;
    }

    function itemsOf(inner) {
        return isList(inner) ? inner.items : [inner];
    }

    function innerOf(value) {
        return (typeof value === "object" && value !== null) || typeof value === "function" ? value[INNER] : undefined;
    }

    function list(items, object, name) {
        return { items: items, object: object || null, name: name || null };
    }

    function single(inner, method) {
        const items = itemsOf(inner);
        if (items.length !== 1) {
            throw new TypeError(method + "() needs one XML value, and this list has " + items.length);
        }
        return items[0];
    }

    function copyOf(from) {
        const top = copyBelow(from);
        if (from.kind === ELEMENT) {
            inherited(from).forEach(function (declared) {
                if (!declares(top, declared[0])) {
                    top.declarations.push(declared);
                }
            });
        }
        return top;
    }

    function copyBelow(from) {
        const copy = node(from.kind, from.uri, from.local, from.prefix, from.value);
        if (from.kind === ELEMENT) {
            copy.declarations = from.declarations.slice();
            copy.attributes = from.attributes.map(function (attribute) { return owned(copyBelow(attribute), copy); });
            copy.children = from.children.map(function (child) { return owned(copyBelow(child), copy); });
        }
        return copy;
    }

    function owned(child, parent) {
        child.parent = parent;
        return child;
    }

    function detach(child) {
        if (child.parent === null) {
            return;
        }
        const siblings = child.kind === ATTRIBUTE ? child.parent.attributes : child.parent.children;
        const at = siblings.indexOf(child);
        if (at >= 0) {
            siblings.splice(at, 1);
        }
        child.parent = null;
    }

    // What is put somewhere else: a node that already has its place is copied.
    function nodesFrom(value) {
        const inner = innerOf(value);
        if (inner === undefined) {
            return [textNode(String(value))];
        }
        return itemsOf(inner).map(function (item) {
            if (item.kind === ATTRIBUTE) {
                return textNode(item.value);
            }
            return item.parent === null ? item : copyOf(item);
        });
    }

    function splice(parent, at, removed, added) {
        for (let up = parent; up !== null; up = up.parent) {
            if (added.indexOf(up) >= 0) {
                throw new TypeError("an element cannot stand inside itself");
            }
        }
        parent.children.splice(at, removed, ...added).forEach(function (child) { child.parent = null; });
        added.forEach(function (child) { child.parent = parent; });
    }

    // Namespaces

    function declares(element, prefix) {
        return element.declarations.some(function (declared) { return declared[0] === prefix; });
    }

    // What the elements around it declare, the nearest first.
    function inherited(element) {
        const found = [];
        for (let up = element.parent; up !== null; up = up.parent) {
            up.declarations.forEach(function (declared) {
                if (!found.some(function (known) { return known[0] === declared[0]; })) {
                    found.push(declared);
                }
            });
        }
        return found.filter(function (declared) { return declared[1] !== ""; });
    }

    function inScope(element) {
        const own = element.declarations;
        const outer = inherited(element).filter(function (declared) { return !declares(element, declared[0]); });
        return own.concat(outer);
    }

    function prefixFor(element, uri, forAttribute) {
        if (uri === "" || uri === null || element === null) {
            return "";
        }
        const found = inScope(element).find(function (declared) {
            return declared[1] === uri && (!forAttribute || declared[0] !== "");
        });
        return found ? found[0] : "";
    }

    // Names

    // Keys as the rewriting makes them: `name`, `@name`, `..name`, `..@name`, each perhaps with `uri::` or `*::` in front of the name.
    function nameOf(key) {
        let at = 0, deep = false, attribute = false;
        if (key.startsWith("..")) {
            deep = true;
            at = 2;
        }
        if (key[at] === "@") {
            attribute = true;
            at += 1;
        }
        const split = key.lastIndexOf("::");
        if (split >= at) {
            const uri = key.slice(at, split);
            return { uri: uri === "*" ? null : uri, local: key.slice(split + 2), attribute: attribute, deep: deep };
        }
        const local = at === 0 ? key : key.slice(at);
        const uri = local === "*" ? null : attribute ? "" : settings.space;
        return { uri: uri, local: local, attribute: attribute, deep: deep };
    }

    function selected(inner, name) {
        return find(itemsOf(inner), name.uri, name.local, name.attribute, name.deep);
    }

    // Texts

    function isSimple(item) {
        if (item.kind === COMMENT || item.kind === INSTRUCTION) {
            return false;
        }
        return item.kind !== ELEMENT || !item.children.some(function (child) { return child.kind === ELEMENT; });
    }

    function hasSimpleContent(inner) {
        if (!isList(inner)) {
            return isSimple(inner);
        }
        const items = inner.items;
        return items.length === 1 ? isSimple(items[0]) : !items.some(function (item) { return item.kind === ELEMENT; });
    }

    function textOf(inner) {
        if (!hasSimpleContent(inner)) {
            return markupOf(inner);
        }
        let text = "";
        itemsOf(inner).forEach(function (item) {
            if (item.kind === ELEMENT) {
                item.children.forEach(function (child) {
                    if (child.kind === TEXT) {
                        text += child.value;
                    }
                });
            } else if (item.kind === TEXT || item.kind === ATTRIBUTE) {
                text += item.value;
            }
        });
        return text;
    }

    function markupOf(inner) {
        return write(itemsOf(inner), settings.prettyPrinting, settings.prettyIndent);
    }

    // From texts

    function parsed(text, keep) {
        const nodes = parse(text, settings.space,
            settings.ignoreWhitespace, settings.ignoreComments && !keep, settings.ignoreProcessingInstructions && !keep);
        return nodes;
    }

    function fromText(text) {
        const trimmed = text.trim();
        if (!trimmed.startsWith("<")) {
            return textNode(text);
        }
        let nodes = parsed(trimmed, false);
        if (nodes.length === 0) {
            nodes = parsed(trimmed, true);
        }
        const elements = nodes.filter(function (item) { return item.kind === ELEMENT; });
        if (nodes.length !== 1 && elements.length === 1 && nodes.every(function (item) { return item.kind !== TEXT; })) {
            return elements[0];
        }
        if (nodes.length !== 1) {
            throw new SyntaxError("the text has to be one XML element, and there are " + nodes.length + " things in it; XMLList takes several");
        }
        return nodes[0];
    }

    function listFromText(text) {
        if (text.trim() === "") {
            return [];
        }
        return parsed(text, false);
    }

    function toXml(value) {
        const inner = innerOf(value);
        if (inner !== undefined) {
            return single(inner, "XML");
        }
        if (value === null || value === undefined) {
            throw new TypeError("XML cannot be made of " + value);
        }
        return fromText(String(value));
    }

    function toItems(value) {
        const inner = innerOf(value);
        if (inner !== undefined) {
            return itemsOf(inner);
        }
        return value === null || value === undefined ? [] : listFromText(String(value));
    }

    // What an expression in braces gives: markup, where it is XML, else its text.
    function inserted(value) {
        if (value instanceof Piece) {
            return value.text;
        }
        const inner = innerOf(value);
        return inner === undefined ? escapeText(String(value)) : write(itemsOf(inner), false, 0);
    }

    function Piece(text) {
        this.text = text;
    }

    function joined(strings, values) {
        let text = strings[0];
        for (let index = 0; index < values.length; index++) {
            text += inserted(values[index]) + strings[index + 1];
        }
        return text;
    }

    // Assignments

    function assignedText(value) {
        const inner = innerOf(value);
        return inner === undefined ? String(value)
            : itemsOf(inner).map(function (item) { return textOf(item); }).join(isList(inner) && inner.items.length > 1 ? " " : "");
    }

    // The text that a value stands for when it is assigned, or nothing for markup.
    function primitiveOf(value) {
        const inner = innerOf(value);
        if (inner === undefined) {
            return String(value);
        }
        if (!isList(inner) && (inner.kind === TEXT || inner.kind === ATTRIBUTE)) {
            return inner.value;
        }
        if (isList(inner) && inner.items.length === 1 && (inner.items[0].kind === TEXT || inner.items[0].kind === ATTRIBUTE)) {
            return inner.items[0].value;
        }
        return undefined;
    }

    function copies(value) {
        return itemsOf(innerOf(value)).map(function (item) { return item.kind === ATTRIBUTE ? textNode(item.value) : copyOf(item); });
    }

    function setText(element, text) {
        splice(element, 0, element.children.length, text === "" ? [] : [textNode(text)]);
    }

    function newElement(parent, name) {
        const uri = name.uri === null ? "" : name.uri;
        return node(ELEMENT, uri, name.local, prefixFor(parent, uri, false), "");
    }

    function put(element, name, value) {
        if (element.kind !== ELEMENT) {
            return;
        }
        const there = selected(element, name);
        if (name.attribute) {
            const text = assignedText(value);
            there.slice(1).forEach(detach);
            if (there.length > 0) {
                there[0].value = text;
            } else {
                const uri = name.uri === null ? "" : name.uri;
                element.attributes.push(owned(node(ATTRIBUTE, uri, name.local, prefixFor(element, uri, true), text), element));
            }
            return;
        }
        const text = primitiveOf(value);
        const added = text === undefined ? copies(value) : [];
        there.slice(1).forEach(detach);
        if (text !== undefined && name.local === "*") {
            setText(element, text);
        } else if (text !== undefined) {
            let target = there[0];
            if (target === undefined) {
                target = newElement(element, name);
                splice(element, element.children.length, 0, [target]);
            }
            setText(target, text);
        } else {
            const at = there.length > 0 ? element.children.indexOf(there[0]) : element.children.length;
            splice(element, at, there.length > 0 ? 1 : 0, added);
        }
    }

    // What is not there yet is made when something is put into it: `x.a.b = 1`.
    function resolve(inner) {
        if (!isList(inner)) {
            return inner;
        }
        if (inner.items.length > 0) {
            return inner.items.length === 1 ? inner.items[0] : null;
        }
        const name = inner.name;
        if (inner.object === null || name === null || name.attribute || name.deep || name.local === "*") {
            return null;
        }
        const base = resolve(inner.object);
        if (base === null) {
            return null;
        }
        put(base, name, "");
        inner.items = selected(base, name);
        return inner.items[0] || null;
    }

    function putItem(into, index, value) {
        if (index >= into.items.length) {
            const base = into.object === null ? null : resolve(into.object);
            let added;
            if (base === null || into.name === null || into.name.attribute || into.name.deep || into.name.local === "*") {
                added = primitiveOf(value) === undefined ? copies(value) : [textNode(primitiveOf(value))];
            } else {
                added = [newElement(base, into.name)];
            }
            if (base !== null && base.kind === ELEMENT) {
                const last = into.items[into.items.length - 1];
                const at = last === undefined ? -1 : base.children.indexOf(last);
                splice(base, at < 0 ? base.children.length : at + 1, 0, added);
            }
            into.items.push(...added);
            if (base === null || added.length !== 1 || added[0].kind !== ELEMENT || into.name === null || into.name.local === "*") {
                return;
            }
            index = into.items.length - 1;
        }
        const item = into.items[index];
        const text = primitiveOf(value);
        if (item.kind === ATTRIBUTE) {
            item.value = assignedText(value);
        } else if (text !== undefined && item.kind === ELEMENT) {
            setText(item, text);
        } else if (text !== undefined) {
            item.value = text;
        } else {
            const added = copies(value);
            if (item.parent !== null) {
                splice(item.parent, item.parent.children.indexOf(item), 1, added);
            }
            into.items.splice(index, 1, ...added);
        }
    }

    // Comparison

    function same(one, other) {
        const ones = itemsOf(one), others = itemsOf(other);
        if (ones.length !== others.length) {
            return false;
        }
        return ones.every(function (item, index) { return sameItem(item, others[index]); });
    }

    function sameItem(one, other) {
        const plain = one.kind === TEXT || one.kind === ATTRIBUTE || other.kind === TEXT || other.kind === ATTRIBUTE;
        if (plain && isSimple(one) && isSimple(other)) {
            return textOf(one) === textOf(other);
        }
        if (one.kind !== other.kind || one.local !== other.local || one.uri !== other.uri || one.value !== other.value) {
            return false;
        }
        if (one.kind !== ELEMENT) {
            return true;
        }
        return one.attributes.length === other.attributes.length && one.children.length === other.children.length
            && one.attributes.every(function (attribute) {
                return other.attributes.some(function (known) {
                    return known.local === attribute.local && known.uri === attribute.uri && known.value === attribute.value;
                });
            })
            && one.children.every(function (child, index) { return sameItem(child, other.children[index]); });
    }

    return {
        reset, textNode, isList, itemsOf, innerOf, list, single, copyOf, detach, nodesFrom, splice, inScope, prefixFor, nameOf, selected,
        hasSimpleContent, textOf, markupOf, fromText, listFromText, toXml, toItems, Piece, joined, put, resolve, putItem, same, ELEMENT,
        TEXT, COMMENT, INSTRUCTION, ATTRIBUTE, KINDS, INNER, DEFAULTS, settings, escapeAttribute
    };
})
