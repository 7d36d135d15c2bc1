//! Scripts of old configurations over HTTP: XML in XML, in the syntax of E4X.

use super::talk::{Running, free_port};

/// A folder with one file of artifacts each.
fn serve(files: &[(&str, &str)]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Running::of(folder, free_port())
}

const SHOP: &str = r#"<api xmlns="http://ws.apache.org/ns/synapse" name="Shop" context="/shop">
    <resource methods="POST" uri-template="/price">
        <inSequence>
            <script language="js" key="scripts/prices.js" function="toQuote"/>
            <script language="js" key="scripts/prices.js" function="toPrice"/>
            <respond/>
        </inSequence>
    </resource>
    <resource methods="POST" uri-template="/cheap">
        <inSequence>
            <script language="rhinoJs"><![CDATA[
                var cheap = <cheap/>;
                for each (var item in mc.getPayloadXML().item.(price < 10)) {
                    item.@seen = "yes";
                    delete item.secret;
                    cheap.appendChild(item);
                }
                cheap.@count = cheap.item.length();
                mc.setPayloadXML(cheap);
            ]]></script>
            <respond/>
        </inSequence>
    </resource>
    <resource methods="POST" uri-template="/ibm">
        <inSequence>
            <script language="js">mc.getPayloadXML()..symbol != "IBM";</script>
            <respond/>
        </inSequence>
    </resource>
    <resource methods="GET" uri-template="/pet/{petId}">
        <inSequence>
            <property name="AcceptHeader" expression="$trp:Accept"/>
            <script language="js"><![CDATA[
                var responses = [];
                var accept = mc.getProperty('AcceptHeader');
                var responseCode = mc.getProperty('query.param.responseCode');

                responses[200] = [];
                responses[200]["application/json"] = {
                  "id" : 0
                };
                responses[200]["application/xml"] = <Pet><id>0</id><name>string</name></Pet>;
                responses[501] = [];
                responses[501]["application/xml"] = <response><code>501</code><description>Not Implemented</description></response>;

                if (mc.getProperty('uri.var.petId') == 7) {
                  responses[200]["application/xml"] = <Pet><id>{mc.getProperty('uri.var.petId')}</id><name>{'<Rex> & "Co"'}</name></Pet>;
                }
                if (responseCode == null) {
                  responseCode = 200;
                }
                if (!responses[responseCode]) {
                  responseCode = 501;
                }
                if (accept == null || !responses[responseCode][accept]) {
                  accept = "application/xml";
                }
                if (accept == "application/json") {
                  mc.setProperty('CONTENT_TYPE', 'application/json');
                  mc.setProperty('HTTP_SC', responseCode + "");
                  mc.setPayloadJSON(responses[responseCode]["application/json"]);
                } else if (accept == "application/xml") {
                  mc.setProperty('CONTENT_TYPE', 'application/xml');
                  mc.setProperty('HTTP_SC', responseCode + "");
                  mc.setPayloadXML(responses[responseCode]["application/xml"]);
                }
            ]]></script>
            <property name="messageType" expression="$ctx:CONTENT_TYPE" scope="axis2"/>
            <property name="HTTP_SC" expression="$ctx:HTTP_SC" scope="axis2"/>
            <respond/>
        </inSequence>
    </resource>
    <resource methods="POST" uri-template="/fails">
        <inSequence>
            <script language="js"><![CDATA[
                var x = <a>
                    <b>{missing}</b>
                </a>;
            ]]></script>
            <respond/>
        </inSequence>
        <faultSequence>
            <payloadFactory media-type="json"><format>{"why": "$1"}</format><args><arg expression="$ctx:ERROR_MESSAGE"/></args></payloadFactory>
            <property name="messageType" value="application/json" scope="axis2"/>
            <respond/>
        </faultSequence>
    </resource>
</api>
"#;

const PRICES: &str = r#"function toQuote(mc) {
    var code = mc.getPayloadXML()..*::Code.toString();
    mc.setPayloadXML(
        <m:getQuote xmlns:m="urn:quotes">
            <m:request>
                <m:symbol>{code}</m:symbol>
            </m:request>
        </m:getQuote>);
}

function toPrice(mc) {
    var m = new Namespace("urn:quotes");
    var quote = mc.getPayloadXML();
    var symbol = quote..m::symbol.toString();
    mc.setPayloadXML(
        <p:Price xmlns:p="urn:shop">
            <p:Code upper={symbol.toUpperCase()}>{symbol}</p:Code>
        </p:Price>);
}
"#;

#[test]
fn old_scripts_are_served_over_http() {
    let running = serve(&[("api/Shop.xml", SHOP), ("scripts/prices.js", PRICES)]);
    let soap = "POST /shop/price\nContent-Type: text/xml\nSOAPAction: urn:a\n\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><c:CheckPrice xmlns:c=\"urn:shop\"><c:Code>a&amp;b</c:Code></c:CheckPrice></s:Body></s:Envelope>";
    let answer = running.ask(soap);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer
            .body
            .contains("<p:Price xmlns:p=\"urn:shop\"><p:Code upper=\"A&amp;B\">a&amp;b</p:Code></p:Price>"),
        "{answer:?}"
    );
    let answer = running.ask("POST /shop/cheap\nContent-Type: application/xml\n\n<items>\n  <item><price>3.5</price><secret>x</secret></item>\n  <item><price>30</price></item>\n  <item><price>9</price></item>\n</items>");
    assert_eq!(
        answer.body,
        "<cheap count=\"2\"><item seen=\"yes\"><price>3.5</price></item><item seen=\"yes\"><price>9</price></item></cheap>"
    );
    for (symbol, status) in [("IBM", 202), ("MSFT", 200)] {
        let answer = running.ask(&format!(
            "POST /shop/ibm\nContent-Type: application/xml\n\n<q><symbol>{symbol}</symbol></q>"
        ));
        assert_eq!(answer.status, status, "{symbol}: {answer:?}");
    }
}

#[test]
fn generated_mocks_answer_with_their_xml() {
    let running = serve(&[("api/Shop.xml", SHOP), ("scripts/prices.js", PRICES)]);
    let answer = running.ask("GET /shop/pet/1");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "<Pet><id>0</id><name>string</name></Pet>")
    );
    assert!(
        answer
            .header("content-type")
            .unwrap_or_default()
            .starts_with("application/xml"),
        "{answer:?}"
    );
    let answer = running.ask("GET /shop/pet/7");
    assert_eq!(
        answer.body,
        "<Pet><id>7</id><name>&lt;Rex&gt; &amp; \"Co\"</name></Pet>"
    );
    let answer = running.ask("GET /shop/pet/1?responseCode=999");
    assert_eq!(answer.status, 501);
    assert!(answer.body.contains("<code>501</code>"), "{answer:?}");
    let answer = running.ask("GET /shop/pet/1\nAccept: application/json");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"id\":0}"));
}

#[test]
fn an_error_in_a_literal_names_its_line_in_the_file() {
    let running = serve(&[("api/Shop.xml", SHOP), ("scripts/prices.js", PRICES)]);
    let line = SHOP.lines().position(|line| line.contains("{missing}")).unwrap() + 1;
    let answer = running.ask("POST /shop/fails\nContent-Type: application/xml\n\n<a/>");
    assert!(
        answer.body.contains("missing is not defined") && answer.body.contains(&format!("Shop.xml:{line}:")),
        "line {line}: {answer:?}"
    );
}
