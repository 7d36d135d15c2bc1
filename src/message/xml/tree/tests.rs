//! Reading, changing and copying trees.

use super::super::XmlLimits;
use super::*;

fn parse(text: &str) -> XmlTree {
    XmlTree::parse_str(text, &XmlLimits::default()).expect(text)
}

/// Parses, lets a change happen, and compares what is written then.
fn check(text: &str, change: impl Fn(&mut XmlTree, NodeId), expected: &str) {
    let mut tree = parse(text);
    let root = tree.document_element().expect("a root element");
    change(&mut tree, root);
    assert_eq!(tree.to_text(tree.document()), expected);
}

#[test]
fn nodes_know_their_relatives_and_names() {
    let tree = parse("<a xmlns='urn:d' xmlns:p='urn:p' p:x='1' y='2'>t<p:b/><!--c--><?i v?></a>");
    let root = tree.document_element().expect("a root element");
    assert_eq!(
        (tree.local_name(root), tree.namespace(root), tree.prefix(root)),
        ("a", "urn:d", "")
    );
    let kinds: Vec<Kind> = tree.children(root).map(|child| tree.kind(child)).collect();
    assert_eq!(
        kinds,
        [Kind::Text, Kind::Element, Kind::Comment, Kind::Instruction]
    );
    assert_eq!(tree.attribute(root, "urn:p", "x"), Some("1"));
    assert_eq!(tree.attribute(root, "", "y"), Some("2"));
    assert_eq!(tree.attribute(root, "", "x"), None);
    assert_eq!(tree.declarations(root).count(), 2);
    let child = tree.find_child(root, "urn:p", "b").expect("a child");
    assert_eq!(tree.qualified_name(child), "p:b");
    assert_eq!(tree.parent(child), Some(root));
    assert_eq!(tree.string_value(root), "t");
    assert_eq!(tree.namespace_for_prefix(child, ""), Some("urn:d"));
    assert_eq!(tree.prefix_for_namespace(child, "urn:p").as_deref(), Some("p"));
    assert_eq!(
        tree.next_sibling(tree.attributes(root).next().expect("an attribute")),
        None
    );
}

#[test]
fn text_and_cdata_side_by_side_are_one_text() {
    let tree = parse("<a>x&amp;<![CDATA[<y>]]>z</a>");
    let root = tree.document_element().expect("a root element");
    assert_eq!(tree.children(root).count(), 1);
    assert_eq!(tree.string_value(root), "x&<y>z");
}

#[test]
fn nodes_can_be_put_anywhere() {
    check(
        "<a><b/><c/></a>",
        |tree, root| {
            let (b, c) = (
                tree.first_child(root).expect("b"),
                tree.last_child(root).expect("c"),
            );
            tree.insert_before(b, c);
            let text = tree.create_text("<t>");
            tree.insert_after(c, text);
            tree.set_attribute(b, "", "", "k", "a\"b\n");
        },
        "<a><c/>&lt;t&gt;<b k=\"a&quot;b&#10;\"/></a>",
    );
    check(
        "<a><b/><c/></a>",
        |tree, root| {
            let b = tree.first_child(root).expect("b");
            tree.append(root, b);
            let d = tree.create_element("", "", "d");
            tree.prepend(root, d);
            let e = tree.create_element("", "", "e");
            tree.replace(d, e);
        },
        "<a><e/><c/><b/></a>",
    );
    check(
        "<a><b><c/></b></a>",
        |tree, root| {
            let b = tree.first_child(root).expect("b");
            let c = tree.first_child(b).expect("c");
            tree.append(c, b);
            tree.append(root, root);
        },
        "<a><b><c/></b></a>",
    );
    check(
        "<a x='1' y='2'>t</a>",
        |tree, root| {
            tree.remove_attribute(root, "", "x");
            tree.set_value(root, "new");
            tree.rename(root, "p", "urn:p", "z");
        },
        "<p:z xmlns:p=\"urn:p\" y=\"2\">new</p:z>",
    );
}

#[test]
fn document_order_is_known_after_changes() {
    let mut tree = parse("<a><b x='1'/><c/></a>");
    let root = tree.document_element().expect("a root element");
    let (b, c) = (
        tree.first_child(root).expect("b"),
        tree.last_child(root).expect("c"),
    );
    let x = tree.attribute_node(b, "", "x").expect("x");
    assert!(
        tree.document_order(b, c).is_lt()
            && tree.document_order(b, x).is_lt()
            && tree.document_order(x, c).is_lt()
    );
    tree.insert_before(b, c);
    assert!(tree.document_order(c, b).is_lt() && tree.document_order(c, x).is_lt());
    let mut found = Vec::new();
    tree.scan(root, Kind::Element, NameTest::Any, |node| {
        found.push(node);
        true
    });
    assert_eq!(found, [c, b]);
}

#[test]
fn a_copy_brings_the_namespaces_that_it_needs() {
    let source = parse(
        "<e:E xmlns:e='urn:e' xmlns:xs='urn:xs' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:no='urn:no'>\
        <e:b xsi:type='xs:int'><c>1</c></e:b></e:E>",
    );
    let from = source
        .child_elements(source.document_element().expect("E"))
        .next()
        .expect("b");
    let mut target = parse("<a/>");
    let root = target.document_element().expect("a root element");
    let copy = target.import(&source, from);
    target.append(root, copy);
    let expected = "<a><e:b xmlns:e=\"urn:e\" xmlns:xs=\"urn:xs\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:int\"><c>1</c></e:b></a>";
    assert_eq!(target.to_text(target.document()), expected);
    assert_eq!(source.to_text(from).len(), expected.len() - "<a></a>".len());
    let read = parse(&source.to_text(from));
    let read_root = read.document_element().expect("b");
    assert_eq!(read.namespace_for_prefix(read_root, "xs"), Some("urn:xs"));
    assert_eq!(read.namespace_for_prefix(read_root, "no"), None);
    let again = target.copy(copy);
    target.append(copy, again);
    assert_eq!(target.to_text(again), target.to_text(again));
    assert_eq!(target.string_value(root), "11");
}

#[test]
fn a_copy_within_one_namespace_declares_nothing_twice() {
    let mut tree = parse("<m:a xmlns:m='urn:m'><m:b><m:c/>x</m:b></m:a>");
    let root = tree.document_element().expect("a root element");
    let b = tree.first_child(root).expect("b");
    let copy = tree.copy(b);
    tree.append(root, copy);
    assert_eq!(
        tree.to_text(root),
        "<m:a xmlns:m=\"urn:m\"><m:b><m:c/>x</m:b><m:b><m:c/>x</m:b></m:a>"
    );
}
