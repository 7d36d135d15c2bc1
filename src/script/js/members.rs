//! The table of everything that a script is given: it binds the functions, feeds the reference, and its examples are tests.

use super::super::e4x::runtime;
use super::engine::{self, Run, with_run};
use super::protocol::{Change, Datum, Field, Flag, Form, Level, Scope, StoreCall};
use super::soap;
use crate::message::json::{self, ConversionSettings, JsonLimits, json_to_xml};
use crate::message::xml::{XmlLimits, XmlTree};
use boa_engine::error::JsNativeError;
use boa_engine::native_function::NativeFunctionPointer;
use boa_engine::object::{FunctionObjectBuilder, JsObject, ObjectInitializer};
use boa_engine::property::Attribute;
use boa_engine::{Context, JsResult, JsString, JsValue, NativeFunction, js_string};
use percent_encoding::percent_decode_str;

/// One thing that a script can ask for or do.
pub struct Member {
    /// `mc.` in front, or the name of a global.
    pub name: &'static str,
    pub arguments: &'static str,
    pub about: &'static str,
    /// A script whose last line is true, for the message of `EXAMPLE`.
    pub example: &'static str,
    pub asks: Asks,
    run: NativeFunctionPointer,
}

/// What of a message has to be sent along to a script that mentions a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    Nothing,
    /// A property by its name, and perhaps of a scope.
    Property,
    Properties,
    Variable,
    Variables,
    Entry,
    Body(Form),
    JsonText,
    Headers,
    Request,
    Addressing,
    Flags,
}

/// What the examples are about.
pub const EXAMPLE: &str = "POST /pets/7?kind=dog&kind=cat&colour=light%20brown\nContent-Type: application/json\nX-Tenant: blue\n\n\
     {\"name\": \"Rex\", \"age\": 3}";

const fn member(
    name: &'static str,
    arguments: &'static str,
    asks: Asks,
    about: &'static str,
    example: &'static str,
    run: NativeFunctionPointer,
) -> Member {
    Member {
        name,
        arguments,
        about,
        example,
        asks,
        run,
    }
}

#[rustfmt::skip]
pub static MEMBERS: &[Member] = &[
    member("mc.getPayloadJSON", "", Asks::Body(Form::Json), "The body as a value of JavaScript; `{}` when it is not JSON.",
        "mc.getPayloadJSON().name === 'Rex'", get_payload_json),
    member("mc.setPayloadJSON", "value", Asks::Nothing, "A new body. A string is JSON text as it is, and has to be valid; any other value is written as JSON; `null` gives `{}`, and an empty string an empty body.",
        "mc.setPayloadJSON({id: 7});\nmc.setPayloadJSON('{\"raw\": true}');\nmc.getPayloadJSON().raw === true", set_payload_json),
    member("mc.getPayloadXML", "", Asks::Body(Form::Xml), "The first element of the body as a value of E4X (below), with the methods of strings besides; `null` for an empty body. JSON is converted.",
        "mc.setPayloadXML('<pet><name>Rex</name></pet>');\nmc.getPayloadXML().name == 'Rex'", get_payload_xml),
    member("mc.setPayloadXML", "xml", Asks::Nothing, "A new body: an element, or the text of one. An empty string gives an empty body.",
        "mc.setPayloadXML(<pet id=\"7\"/>);\nmc.getPayloadXML().@id == 7", set_payload_xml),
    member("mc.getPayloadText", "", Asks::Body(Form::Text), "The body as text: JSON or plain text as it is, XML as its whole SOAP envelope.",
        "mc.getPayloadText().indexOf('Rex') > 0", get_payload_text),
    member("mc.getJsonText", "", Asks::JsonText, "What `setJsonText` was given, else the text of a JSON body; `{}` when it is not JSON.",
        "JSON.parse(mc.getJsonText()).age === 3", get_json_text),
    member("mc.setJsonText", "mc, text", Asks::Nothing, "What `getJsonText` gives from here on, and the property `JSON_TEXT`. The body stays as it is.",
        "mc.setJsonText(mc, '[1]');\nmc.getJsonText() === '[1]' && mc.getProperty('JSON_TEXT') === '[1]' && mc.getPayloadText().indexOf('Rex') > 0", set_json_text),
    member("mc.setJsonObject", "mc, value", Asks::Nothing, "What `getPayloadJSON` and `jsonObject` give from here on, to the end of this script. The body stays as it is: `setPayloadJSON` changes it.",
        "mc.setJsonObject(mc, {a: 1});\nmc.getPayloadJSON().a === 1 && mc.getPayloadText().indexOf('Rex') > 0", set_json_object),
    member("mc.jsonObject", "mc", Asks::Body(Form::Json), "As `getPayloadJSON`.",
        "mc.jsonObject(mc).name === 'Rex'", json_object),
    member("mc.getMessageString", "", Asks::Body(Form::Text), "As `getPayloadText`.",
        "mc.getMessageString() === mc.getPayloadText()", get_payload_text),
    member("mc.setPayloadText", "text", Asks::Nothing, "A new body of plain text (ours).",
        "mc.setPayloadText('hello');\nmc.getPayloadText() === 'hello'", set_payload_text),
    member("mc.getEnvelopeXML", "", Asks::Body(Form::Envelope), "The SOAP envelope, as XML; other bodies stand in one.",
        "mc.getEnvelopeXML().*::Body.length() == 1", get_envelope_xml),
    member("mc.getXpathResult", "expression", Asks::Nothing, "An XPath 1.0 to ask XML values: `selectNodes(xml)` gives a list (`get(0)`, `size()`, `[0]`, `length`), `selectSingleNode`, `stringValueOf`, `numberValueOf` and `booleanValueOf` what they say. `addNamespace(prefix, uri)` binds a prefix. `/` is above the outermost element of the value: the first one of the body for `getPayloadXML`, the envelope for `getEnvelopeXML`.",
        "mc.setPayloadXML('<m:pet xmlns:m=\"urn:m\"><m:name>Rex</m:name></m:pet>');\nvar xpath = mc.getXpathResult('//m:name');\nxpath.addNamespace('m', 'urn:m');\nxpath.selectNodes(mc.getPayloadXML()).get(0).getText() === 'Rex'", get_xpath_result),
    member("mc.parseXml", "text", Asks::Nothing, "A text as XML.",
        "mc.parseXml('<a><b>1</b></a>').b == 1", parse_xml),
    member("mc.getParsedOMElement", "text", Asks::Nothing, "As `parseXml`; Java's streams are not there.",
        "mc.getParsedOMElement('<a>1</a>').getText() === '1'", parse_xml),
    member("mc.setEnvelope", "xml", Asks::Nothing, "A new SOAP envelope, XML or its text.",
        "mc.setEnvelope('<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><a/></s:Body></s:Envelope>');\ntrue", set_envelope),
    member("mc.addHeader", "mustUnderstand, xml", Asks::Nothing, "Adds a SOAP header block, XML or its text.",
        "mc.addHeader(true, <w:token xmlns:w=\"urn:w\">t</w:token>);\ntrue", add_header),
    member("mc.getProperty", "name[, scope]", Asks::Property, "A property, a string for text; `null` when it is not there. `uri.var.x` and `query.param.x` are properties. The scope (`default`, `axis2`, `transport`, `operation`, `axis2-client`) is ours: `transport` reads a header.",
        "mc.setProperty('limit', 10);\nmc.getProperty('limit') === 10 && mc.getProperty('x-tenant', 'transport') === 'blue' && mc.getProperty('none') === null", get_property),
    member("mc.setProperty", "name, value[, scope]", Asks::Nothing, "Sets a property, or a header in the scope `transport`. An element is kept as XML, an object as JSON. `messageType` in the scope `axis2` sets the Content-Type too. `null` removes.",
        "mc.setProperty('HTTP_SC', '201');\nmc.setProperty('Location', '/pets/7', 'transport');\nmc.getProperty('HTTP_SC') === '201'", set_property),
    member("mc.removeProperty", "name[, scope]", Asks::Nothing, "Removes a property or header.",
        "mc.setProperty('a', 1);\nmc.removeProperty('a');\nmc.getProperty('a') === null", remove_property),
    member("mc.getPropertyKeySet", "", Asks::Properties, "The names of the properties of the default scope, as a list.",
        "mc.setProperty('a', 1);\nmc.getPropertyKeySet().indexOf('a') >= 0", get_property_key_set),
    member("mc.getVariable", "name", Asks::Variable, "A variable, as the mediator `variable` sets them; `null` when it is not there.",
        "mc.setVariable('pet', {id: 7});\nmc.getVariable('pet').id === 7", get_variable),
    member("mc.setVariable", "name, value", Asks::Nothing, "Sets a variable. An object is kept as JSON.",
        "mc.setVariable('n', 1.5);\nmc.getVariable('n') === 1.5", set_variable),
    member("mc.getVariableKeySet", "", Asks::Variables, "The names of the variables, as a list.",
        "mc.setVariable('a', 1);\nmc.getVariableKeySet().join() === 'a'", get_variable_key_set),
    member("mc.getEntry", "key", Asks::Entry, "A local entry or registry resource that the configuration mentions; `null` when there is none.",
        "mc.getEntry('none') === null", get_entry),
    member("mc.getLocalEntry", "key", Asks::Entry, "As `getEntry`.",
        "mc.getLocalEntry('none') === null", get_entry),
    member("mc.getTo", "", Asks::Addressing, "Where the message goes.",
        "mc.setTo('http://a.example/');\nmc.getTo() === 'http://a.example/'", |_, _, _| get_address(Field::To)),
    member("mc.setTo", "address", Asks::Nothing, "Says where the message goes.",
        "mc.setTo('http://a.example/');\ntrue", |_, arguments, context| set_address(Field::To, arguments, context)),
    member("mc.getFrom", "", Asks::Addressing, "WS-Addressing's `From`.", "mc.setFrom('urn:a');\nmc.getFrom() === 'urn:a'", |_, _, _| get_address(Field::From)),
    member("mc.setFrom", "address", Asks::Nothing, "Sets it.", "mc.setFrom('urn:a');\ntrue", |_, arguments, context| set_address(Field::From, arguments, context)),
    member("mc.getReplyTo", "", Asks::Addressing, "WS-Addressing's `ReplyTo`.", "mc.getReplyTo() === null", |_, _, _| get_address(Field::ReplyTo)),
    member("mc.setReplyTo", "address", Asks::Nothing, "Sets it.", "mc.setReplyTo('urn:a');\ntrue", |_, arguments, context| set_address(Field::ReplyTo, arguments, context)),
    member("mc.getFaultTo", "", Asks::Addressing, "WS-Addressing's `FaultTo`.", "mc.getFaultTo() === null", |_, _, _| get_address(Field::FaultTo)),
    member("mc.setFaultTo", "address", Asks::Nothing, "Sets it.", "mc.setFaultTo('urn:a');\ntrue", |_, arguments, context| set_address(Field::FaultTo, arguments, context)),
    member("mc.getRelatesTo", "", Asks::Addressing, "WS-Addressing's `RelatesTo`.", "mc.getRelatesTo() === null", |_, _, _| get_address(Field::RelatesTo)),
    member("mc.setRelatesTo", "id", Asks::Nothing, "Sets it.", "mc.setRelatesTo('urn:a');\ntrue", |_, arguments, context| set_address(Field::RelatesTo, arguments, context)),
    member("mc.getSoapAction", "", Asks::Addressing, "The SOAPAction.", "mc.setSoapAction('urn:get');\nmc.getSoapAction() === 'urn:get'", |_, _, _| get_address(Field::SoapAction)),
    member("mc.setSoapAction", "action", Asks::Nothing, "Sets it.", "mc.setSoapAction('urn:get');\ntrue", |_, arguments, context| set_address(Field::SoapAction, arguments, context)),
    member("mc.getWSAAction", "", Asks::Addressing, "WS-Addressing's `Action`.", "mc.setWSAAction('urn:get');\nmc.getWSAAction() === 'urn:get'", |_, _, _| get_address(Field::Action)),
    member("mc.setWSAAction", "action", Asks::Nothing, "Sets it.", "mc.setWSAAction('urn:get');\ntrue", |_, arguments, context| set_address(Field::Action, arguments, context)),
    member("mc.getMessageID", "", Asks::Addressing, "The id of the message.", "mc.setMessageID('urn:1');\nmc.getMessageID() === 'urn:1'", |_, _, _| get_address(Field::MessageId)),
    member("mc.setMessageID", "id", Asks::Nothing, "Sets it.", "mc.setMessageID('urn:1');\ntrue", |_, arguments, context| set_address(Field::MessageId, arguments, context)),
    member("mc.getWSAMessageID", "", Asks::Addressing, "As `getMessageID`.", "mc.setMessageID('urn:1');\nmc.getWSAMessageID() === 'urn:1'", |_, _, _| get_address(Field::MessageId)),
    member("mc.setWSAMessageID", "id", Asks::Nothing, "As `setMessageID`.", "mc.setWSAMessageID('urn:1');\ntrue", |_, arguments, context| set_address(Field::MessageId, arguments, context)),
    member("mc.isResponse", "", Asks::Flags, "Whether the message is an answer.", "mc.isResponse() === false", |_, _, _| flag(|flags| flags.response)),
    member("mc.setResponse", "yes", Asks::Nothing, "Makes it one.", "mc.setResponse(true);\nmc.isResponse()", |_, arguments, _| set_flag(Flag::Response, arguments)),
    member("mc.isFaultResponse", "", Asks::Flags, "Whether it answers with a fault.", "mc.isFaultResponse() === false", |_, _, _| flag(|flags| flags.fault)),
    member("mc.setFaultResponse", "yes", Asks::Nothing, "Makes it one: the answer has the status 500, where nobody says another.", "mc.setFaultResponse(true);\nmc.isFaultResponse()", |_, arguments, _| set_flag(Flag::Fault, arguments)),
    member("mc.isDoingPOX", "", Asks::Flags, "Whether XML is written without an envelope.", "mc.isDoingPOX() === false", |_, _, _| flag(|flags| flags.pox)),
    member("mc.setDoingPOX", "yes", Asks::Nothing, "Write `application/xml`.", "mc.setDoingPOX(true);\nmc.isDoingPOX()", |_, arguments, _| set_flag(Flag::Pox, arguments)),
    member("mc.isDoingGET", "", Asks::Flags, "Whether the request is a GET.", "mc.isDoingGET() === false", |_, _, _| flag(|flags| flags.get)),
    member("mc.setDoingGET", "yes", Asks::Nothing, "Send it as a GET.", "mc.setDoingGET(true);\nmc.isDoingGET()", |_, arguments, _| set_flag(Flag::Get, arguments)),
    member("mc.isDoingMTOM", "", Asks::Flags, "Whether `enableMTOM` is set.", "mc.isDoingMTOM() === false", |_, _, _| flag(|flags| flags.mtom)),
    member("mc.setDoingMTOM", "yes", Asks::Nothing, "Sets the property `enableMTOM`.", "mc.setDoingMTOM(true);\nmc.isDoingMTOM()", |_, arguments, _| set_flag(Flag::Mtom, arguments)),
    member("mc.isDoingSWA", "", Asks::Flags, "Whether `enableSwA` is set.", "mc.isDoingSWA() === false", |_, _, _| flag(|flags| flags.swa)),
    member("mc.setDoingSWA", "yes", Asks::Nothing, "Sets the property `enableSwA`.", "mc.setDoingSWA(true);\nmc.isDoingSWA()", |_, arguments, _| set_flag(Flag::Swa, arguments)),
    member("mc.isSOAP11", "", Asks::Flags, "Whether the envelope is SOAP 1.1.", "mc.isSOAP11()", |_, _, _| flag(|flags| flags.soap11)),
    member("mc.getServiceLog", "", Asks::Nothing, "Writes to the gateway's log: `debug`, `info`, `warn`, `error`.",
        "mc.getServiceLog().info('seen');\ntrue", |this, _, context| service_log(this, context)),
    member("mc.headers", "", Asks::Headers, "The HTTP headers by name, in any case (ours).", "mc.headers['X-Tenant'] === 'blue' && mc.headers.none === undefined", headers),
    member("mc.method", "", Asks::Request, "The method of the request (ours).", "mc.method === 'POST'", |_, _, _| request(|request| JsValue::from(JsString::from(request.method.as_str())))),
    member("mc.path", "", Asks::Request, "The path of the request (ours).", "mc.path === '/pets/7'", |_, _, _| request(|request| JsValue::from(JsString::from(request.path.as_str())))),
    member("mc.query", "", Asks::Request, "The parameters of the query, decoded; the last of several of one name (ours).", "mc.query.kind === 'cat' && mc.query.colour === 'light brown'", query),
    member("mc.store.get", "key", Asks::Nothing, "What the scripts of this API keep under a key, or `null`. It outlives requests and reloads, and ends with the gateway (ours).",
        "mc.store.set('pet', {id: 7});\nmc.store.get('pet').id === 7", |_, arguments, context| store(StoreCall::Get(text(arguments, 0, context)?), context)),
    member("mc.store.set", "key, value[, {seconds}]", Asks::Nothing, "Keeps a value, for so many seconds if that is said.", "mc.store.set('a', [1, 2], {seconds: 60});\nmc.store.get('a').length === 2", store_set),
    member("mc.store.delete", "key", Asks::Nothing, "Forgets it; says whether it was there.", "mc.store.set('a', 1);\nmc.store.delete('a') && mc.store.get('a') === null", |_, arguments, context| store(StoreCall::Delete(text(arguments, 0, context)?), context)),
    member("mc.store.list", "[prefix]", Asks::Nothing, "The keys, or those that begin so, in their order.", "mc.store.set('x/1', 1);\nmc.store.list('x/').join() === 'x/1'", store_list),
    member("mc.store.counter", "key[, by]", Asks::Nothing, "Adds to a number, which begins at 0, and gives the sum. No two requests get the same.", "mc.store.delete('n');\nmc.store.counter('n');\nmc.store.counter('n', 2) === 3", store_counter),
    member("mc.store.clear", "", Asks::Nothing, "Forgets all.", "mc.store.set('a', 1);\nmc.store.clear();\nmc.store.get('a') === null", |_, _, context| store(StoreCall::Clear, context)),
    member("mc.soap.operation", "", Asks::Body(Form::Xml), "For mocks of SOAP services: the operation that is asked for, which is the name of the first element in the body; else the last part of the SOAPAction (ours).",
        "mc.setPayloadXML('<q:getQuote xmlns:q=\"urn:q\"/>');\nmc.soap.operation() === 'getQuote'", soap::operation),
    member("mc.soap.value", "name", Asks::Body(Form::Xml), "The text of the first element of that name in the body, whatever its namespace; `null` when there is none.",
        "mc.setPayloadXML('<getQuote xmlns=\"urn:q\"><symbol>ACME</symbol></getQuote>');\nmc.soap.value('symbol') === 'ACME' && mc.soap.value('none') === null", soap::value),
    member("mc.soap.answer", "xml", Asks::Flags, "Answers with an envelope around this element, of the version of SOAP that the request is of.",
        "mc.soap.answer(<quote><price>101.25</price></quote>);\nmc.getEnvelopeXML().toString().indexOf('Body') > 0", soap::answer),
    member("mc.soap.fault", "code, reason[, detail]", Asks::Flags, "Answers with a fault, of the version of SOAP that the request is of. `Client` or `Server` (also `Sender`, `Receiver`); the detail is an element or text. The status is 500, in SOAP 1.2 400 for a `Client`.",
        "mc.soap.fault('Client', 'no such symbol', '<symbol>X</symbol>');\nmc.getProperty('HTTP_SC') === '500'", soap::fault),
    member("print", "value, …", Asks::Nothing, "Writes to the gateway's log, with the API, the resource and the line.", "print('seen', {a: 1});\ntrue", |_, arguments, context| log(Level::Info, arguments, context)),
    member("console.log", "value, …", Asks::Nothing, "As `print`.", "console.log('seen');\ntrue", |_, arguments, context| log(Level::Info, arguments, context)),
    member("console.info", "value, …", Asks::Nothing, "As `print`.", "console.info('seen');\ntrue", |_, arguments, context| log(Level::Info, arguments, context)),
    member("console.debug", "value, …", Asks::Nothing, "For the level debug.", "console.debug('seen');\ntrue", |_, arguments, context| log(Level::Debug, arguments, context)),
    member("console.warn", "value, …", Asks::Nothing, "A warning.", "console.warn('odd');\ntrue", |_, arguments, context| log(Level::Warn, arguments, context)),
    member("console.error", "value, …", Asks::Nothing, "An error.", "console.error('bad');\ntrue", |_, arguments, context| log(Level::Error, arguments, context)),
    member("uuid", "", Asks::Nothing, "A random UUID (version 4).", "uuid().length === 36 && uuid() !== uuid()", uuid),
    member("sleepFor", "milliseconds", Asks::Nothing, "The answer comes that much later, 30 s at most. The script itself goes on at once, so that no other one waits for it.", "sleepFor(1);\ntrue", sleep_for),
    member("Math.random", "", Asks::Nothing, "A number from 0 to below 1.", "var n = Math.random();\nn >= 0 && n < 1", random),
];

/// What Synapse has and a script is not given, and what to use instead.
pub const REFUSED: &[(&str, &str)] = &[
    (
        "getSequence",
        "scripts cannot run sequences: put a `<sequence key=…/>` behind the script",
    ),
    (
        "getEndpoint",
        "scripts cannot send: put a `<send>` or `<call>` behind the script",
    ),
    (
        "getMainSequence",
        "scripts cannot run sequences: put a `<sequence key=…/>` behind the script",
    ),
    (
        "getFaultSequence",
        "scripts cannot run sequences: `throw` an error, and the fault sequence runs",
    ),
    (
        "getSequenceTemplate",
        "scripts cannot run templates: use `<call-template>` behind the script",
    ),
    (
        "getConfiguration",
        "there is no Java configuration object; `getEntry` reads local entries and registry resources",
    ),
    (
        "getEnvironment",
        "there is no Java environment object; read what you need with an expression before the script",
    ),
    ("getContextEntries", "`getEntry` reads one by its key"),
    ("getFaultStack", "`throw` an error, and the fault sequence runs"),
    ("pushFaultHandler", "give the sequence an `onError`"),
    (
        "getEnvelope",
        "there are no Java objects; `getEnvelopeXML` gives the envelope",
    ),
    ("getTracingState", "a trace is asked for from outside"),
    ("setTracingState", "a trace is asked for from outside"),
    (
        "getAxis2MessageContext",
        "there is no Axis2; `setProperty` and `getProperty` take the scope `axis2`",
    ),
    (
        "getSynapseContext",
        "there are no Java objects; everything that scripts are given is on `mc`",
    ),
    ("getScriptEngine", "there is no Java script engine"),
];

/// Words of Java, and what to use instead.
pub const JAVA: &[(&str, &str)] = &[
    (
        "java",
        "there is no Java here; use `uuid()`, `sleepFor()`, `new Date()`, `console.log`, `JSON` and the methods of strings",
    ),
    (
        "Java",
        "there is no Java here; `mc.parseXml` and `mc.getParsedOMElement` take texts",
    ),
    (
        "Polyglot",
        "there are no other languages here; use what JavaScript has",
    ),
    ("javax", "there is no Java here"),
    ("org", "there is no Java here"),
    ("Packages", "there is no Java here; use what JavaScript has"),
    ("importClass", "there is no Java here; use what JavaScript has"),
    ("importPackage", "there is no Java here; use what JavaScript has"),
    ("JavaImporter", "there is no Java here; use what JavaScript has"),
    ("JavaAdapter", "there is no Java here; use what JavaScript has"),
];

/// Puts everything into a context, and gives the object `mc`.
pub fn bind(context: &mut Context) -> JsResult<JsObject> {
    let function = |member: &Member, context: &mut Context| {
        let name = member.name.rsplit('.').next().unwrap_or(member.name);
        FunctionObjectBuilder::new(context.realm(), NativeFunction::from_fn_ptr(member.run))
            .name(JsString::from(name))
            .length(
                member
                    .arguments
                    .split(", ")
                    .filter(|part| !part.is_empty())
                    .count(),
            )
            .build()
    };
    let message_context = ObjectInitializer::new(context).build();
    let store = ObjectInitializer::new(context).build();
    let soap_object = ObjectInitializer::new(context).build();
    let console = ObjectInitializer::new(context).build();
    let math = context.global_object().get(js_string!("Math"), context)?;
    for member in MEMBERS {
        let built = function(member, context);
        match member.name.split_once('.') {
            None => engine::global(member.name, built.into(), context)?,
            Some(("mc", name)) => match name.split_once('.') {
                Some((of, name)) => {
                    let object = if of == "soap" { &soap_object } else { &store };
                    object.set(JsString::from(name), built, true, context)?;
                }
                None if member.is_value() => {
                    let described = boa_engine::property::PropertyDescriptor::builder()
                        .get(built)
                        .enumerable(true)
                        .configurable(false);
                    message_context.define_property_or_throw(JsString::from(name), described, context)?;
                }
                None => drop(message_context.set(JsString::from(name), built, true, context)?),
            },
            Some(("console", name)) => drop(console.set(JsString::from(name), built, true, context)?),
            Some((_, name)) => {
                if let Some(math) = math.as_object() {
                    math.set(JsString::from(name), built, true, context)?;
                }
            }
        }
    }
    for (name, advice) in REFUSED {
        let refuse = NativeFunction::from_copy_closure(move |_, _, _| {
            Err(JsNativeError::typ()
                .with_message(format!("mc.{name}: {advice}"))
                .into())
        });
        let built = FunctionObjectBuilder::new(context.realm(), refuse)
            .name(JsString::from(*name))
            .build();
        message_context.set(JsString::from(*name), built, true, context)?;
    }
    message_context.set(js_string!("store"), store, true, context)?;
    message_context.set(js_string!("soap"), soap_object, true, context)?;
    let log = ObjectInitializer::new(context).build();
    for (name, run) in [
        (
            "debug",
            (|_: &JsValue, arguments: &[JsValue], context: &mut Context| {
                log_line(Level::Debug, arguments, context)
            }) as NativeFunctionPointer,
        ),
        ("trace", |_, arguments, context| {
            log_line(Level::Debug, arguments, context)
        }),
        ("info", |_, arguments, context| {
            log_line(Level::Info, arguments, context)
        }),
        ("warn", |_, arguments, context| {
            log_line(Level::Warn, arguments, context)
        }),
        ("error", |_, arguments, context| {
            log_line(Level::Error, arguments, context)
        }),
        ("fatal", |_, arguments, context| {
            log_line(Level::Error, arguments, context)
        }),
    ] {
        let built = FunctionObjectBuilder::new(context.realm(), NativeFunction::from_fn_ptr(run))
            .name(JsString::from(name))
            .build();
        log.set(JsString::from(name), built, true, context)?;
    }
    message_context
        .define_property_or_throw(
            js_string!("serviceLog"),
            boa_engine::property::PropertyDescriptor::builder()
                .value(log)
                .writable(false)
                .enumerable(false)
                .configurable(false),
            context,
        )
        .map(drop)?;
    engine::global("console", console.into(), context)?;
    // Some scripts pass it to functions of theirs under its own name; each run gets it as a parameter.
    context.register_global_property(js_string!("mc"), message_context.clone(), Attribute::all())?;
    Ok(message_context)
}

impl Member {
    /// Read without parentheses.
    pub fn is_value(&self) -> bool {
        matches!(self.asks, Asks::Headers | Asks::Request)
    }
}

// The body

fn get_payload_json(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    if let Some(put_aside) = with_run(|run| run.json_object.clone())? {
        return Ok(put_aside);
    }
    match body(Form::Json)? {
        Some(text) => json_value(&text, context),
        None => Ok(JsObject::with_object_proto(context.intrinsics()).into()),
    }
}

fn get_json_text(_: &JsValue, _: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    let put_aside = with_run(|run| match (&run.json_text, run.given.default.get(JSON_TEXT)) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(Some(Datum::Text(text)))) => Some(Some(text.clone())),
        _ => None,
    })?;
    let text = match put_aside {
        Some(text) => text,
        None => body(Form::Json)?,
    };
    Ok(JsString::from(text.as_deref().unwrap_or("{}")).into())
}

/// The property in which Synapse keeps it.
pub const JSON_TEXT: &str = "JSON_TEXT";

fn set_json_text(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    if !is_told("setJsonText", arguments)? {
        return Ok(JsValue::from(false));
    }
    let value = argument(arguments, 1);
    let text = match (value.is_null_or_undefined(), value.as_string()) {
        (true, _) => None,
        (_, Some(text)) => Some(text.to_std_string_lossy()),
        _ => stringified(&value, context)?,
    };
    with_run(|run| run.json_text = Some(text.clone()))?;
    set(Scope::Default, JSON_TEXT.to_owned(), text.map(Datum::Text))?;
    Ok(JsValue::from(true))
}

fn set_json_object(_: &JsValue, arguments: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    is_told("setJsonObject", arguments)?;
    let value = argument(arguments, 1);
    with_run(|run| run.json_object = Some(value).filter(|value| !value.is_null_or_undefined()))?;
    Ok(JsValue::from(true))
}

fn json_object(this: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    if argument(arguments, 0).is_null_or_undefined() {
        return Ok(JsValue::null());
    }
    get_payload_json(this, &[], context)
}

/// Whether the message is given, as the first of two arguments.
fn is_told(who: &str, arguments: &[JsValue]) -> JsResult<bool> {
    if arguments.len() < 2 {
        let message = format!("{who}(mc, value) takes `mc` first");
        return Err(JsNativeError::typ().with_message(message).into());
    }
    Ok(!argument(arguments, 0).is_null_or_undefined())
}

fn get_payload_text(_: &JsValue, _: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    Ok(body(Form::Text)?.map_or_else(JsValue::null, |text| JsString::from(text.as_str()).into()))
}

fn get_payload_xml(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    body(Form::Xml)?.map_or_else(|| Ok(JsValue::null()), |text| runtime::value(&text, context))
}

fn get_envelope_xml(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    body(Form::Envelope)?.map_or_else(|| Ok(JsValue::null()), |text| runtime::value(&text, context))
}

fn get_xpath_result(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let expression = text(arguments, 0, context)?;
    runtime::xpath(&expression, context)
}

fn parse_xml(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = xml_text("parseXml", &argument(arguments, 0), context)?;
    runtime::value(&text, context)
}

/// The body in a form: as the script itself has set it, or as it was when the script began.
pub fn body(form: Form) -> JsResult<Option<String>> {
    with_run(|run| match &run.written {
        Some((written, text)) => converted(*written, text, form),
        None => match run.given.body(form) {
            Some(text) => text.map(str::to_owned),
            None => {
                run.needs_all = true;
                None
            }
        },
    })
}

fn converted(written: Form, text: &str, form: Form) -> Option<String> {
    match (written, form) {
        (written, form) if written == form => Some(text.to_owned()),
        (Form::Json | Form::Text, Form::Text) => Some(text.to_owned()),
        (Form::Json, Form::Xml) => xml_of_json(text),
        (Form::Json, Form::Envelope) => xml_of_json(text).map(|text| enveloped(&text)),
        (Form::Xml, Form::Envelope | Form::Text) => Some(enveloped(text)),
        (Form::Envelope, Form::Text) => Some(text.to_owned()),
        (Form::Envelope, Form::Xml) => {
            let tree = XmlTree::parse_str(text, &XmlLimits::default()).ok()?;
            let envelope = crate::message::soap::Envelope::from_soap(tree).ok()?;
            let first = envelope.first_child()?;
            Some(envelope.tree().to_text(first))
        }
        _ => None,
    }
}

fn xml_of_json(text: &str) -> Option<String> {
    let json = json::parse(text.as_bytes(), &limits()).ok()?;
    let mut tree = XmlTree::new();
    let root = json_to_xml(&json, &mut tree, &ConversionSettings::default());
    Some(tree.to_text(root))
}

fn enveloped(text: &str) -> String {
    format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>{text}</soapenv:Body></soapenv:Envelope>"
    )
}

fn set_payload_json(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let value = argument(arguments, 0);
    let text = if let Some(text) = value.as_string() {
        let text = text.to_std_string_lossy();
        // Generated scripts say so where a response has no content.
        if text.trim().is_empty() {
            return write_body(Form::Text, String::new(), Change::Text);
        }
        if let Err(error) = json::parse(text.as_bytes(), &limits()) {
            let message = format!("setPayloadJSON: the text is not JSON: {error}");
            return Err(JsNativeError::syntax().with_message(message).into());
        }
        text
    } else if value.is_null_or_undefined() {
        "{}".to_owned()
    } else {
        let text = stringified(&value, context)?;
        text.unwrap_or_else(|| "{}".to_owned())
    };
    write_body(Form::Json, text, Change::Json)
}

fn set_payload_text(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = text(arguments, 0, context)?;
    write_body(Form::Text, text, Change::Text)
}

fn set_payload_xml(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let value = argument(arguments, 0);
    if value
        .as_string()
        .is_some_and(|text| text.to_std_string_lossy().trim().is_empty())
    {
        return write_body(Form::Text, String::new(), Change::Text);
    }
    let text = xml_text("setPayloadXML", &argument(arguments, 0), context)?;
    write_body(Form::Xml, text, Change::Xml)
}

fn set_envelope(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = xml_text("setEnvelope", &argument(arguments, 0), context)?;
    write_body(Form::Envelope, text, Change::Envelope)
}

fn add_header(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let must_understand = argument(arguments, 0).to_boolean();
    let xml = xml_text("addHeader", &argument(arguments, 1), context)?;
    change(Change::Header { must_understand, xml })
}

pub fn write_body(form: Form, text: String, set: fn(String) -> Change) -> JsResult<JsValue> {
    with_run(|run| {
        // Only the last body counts.
        run.changes.retain(|change| {
            !matches!(
                change,
                Change::Json(_) | Change::Xml(_) | Change::Text(_) | Change::Envelope(_)
            )
        });
        run.changes.push(set(text.clone()));
        run.written = Some((form, text));
        run.json_object = None;
        JsValue::undefined()
    })
}

/// The text of an XML value, or a text that is XML.
pub fn xml_text(who: &str, value: &JsValue, context: &mut Context) -> JsResult<String> {
    let text = match runtime::markup(value, context)? {
        Some(text) => text,
        None if value.is_null_or_undefined() => {
            let message = format!("{who}: there is nothing to set");
            return Err(JsNativeError::typ().with_message(message).into());
        }
        None => value.to_string(context)?.to_std_string_lossy(),
    };
    let text = text.trim().to_owned();
    match XmlTree::parse_str(&text, &XmlLimits::default()) {
        Ok(_) => Ok(text),
        Err(error) => {
            let message = format!("{who}: the text is not XML: {}", error.message);
            Err(JsNativeError::syntax().with_message(message).into())
        }
    }
}

// Properties and variables

fn get_property(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(arguments, 0, context)?;
    match scope(arguments, 1, context)? {
        Some(scope) => value_of(scope, &name, context),
        None => Ok(JsValue::null()),
    }
}

fn get_variable(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(arguments, 0, context)?;
    value_of(Scope::Variable, &name, context)
}

fn value_of(scope: Scope, name: &str, context: &mut Context) -> JsResult<JsValue> {
    let name = match scope {
        Scope::Transport => &name.to_ascii_lowercase(),
        _ => name,
    };
    looked_up(
        |run| run.given.bag(scope).get(name).map(Option::<&Datum>::cloned),
        context,
    )
}

fn get_entry(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(arguments, 0, context)?;
    looked_up(
        |run| run.given.entries.get(&name).map(Option::<&Datum>::cloned),
        context,
    )
}

/// A value, or `null`; where nobody has asked for it before the script began, all is asked for.
fn looked_up(
    look: impl FnOnce(&mut Run) -> Option<Option<Datum>>,
    context: &mut Context,
) -> JsResult<JsValue> {
    let found = with_run(|run| {
        let found = look(run);
        run.needs_all |= found.is_none();
        found.flatten()
    })?;
    found.map_or_else(|| Ok(JsValue::null()), |datum| to_js(&datum, context))
}

fn set_property(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(arguments, 0, context)?;
    let value = from_js(&argument(arguments, 1), context)?;
    match scope(arguments, 2, context)? {
        Some(scope) => set(scope, name, value),
        None => Ok(JsValue::undefined()),
    }
}

fn remove_property(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(arguments, 0, context)?;
    match scope(arguments, 1, context)? {
        Some(scope) => set(scope, name, None),
        None => Ok(JsValue::undefined()),
    }
}

fn set_variable(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = text(arguments, 0, context)?;
    let value = from_js(&argument(arguments, 1), context)?;
    set(Scope::Variable, name, value)
}

fn set(scope: Scope, name: String, value: Option<Datum>) -> JsResult<JsValue> {
    with_run(|run| {
        let key = match scope {
            Scope::Transport => &name.to_ascii_lowercase(),
            _ => &name,
        };
        run.given.bag(scope).set(key, value.clone());
        run.changes.push(Change::Set(scope, name, value));
        JsValue::undefined()
    })
}

fn get_property_key_set(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    names(Scope::Default, context)
}

fn get_variable_key_set(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    names(Scope::Variable, context)
}

fn names(scope: Scope, context: &mut Context) -> JsResult<JsValue> {
    let names: Vec<JsValue> = with_run(|run| {
        let bag = run.given.bag(scope);
        let all = bag.all;
        let there = bag.list.iter().filter(|(_, value)| value.is_some());
        let names = there
            .map(|(name, _)| JsString::from(name.as_str()).into())
            .collect();
        run.needs_all |= !all;
        names
    })?;
    Ok(boa_engine::object::builtins::JsArray::from_iter(names, context).into())
}

/// Other scopes than these are overlooked, as in Synapse.
fn scope(arguments: &[JsValue], index: usize, context: &mut Context) -> JsResult<Option<Scope>> {
    let value = argument(arguments, index);
    if value.is_null_or_undefined() {
        return Ok(Some(Scope::Default));
    }
    Ok(scope_named(&value.to_string(context)?.to_std_string_lossy()))
}

pub fn scope_named(name: &str) -> Option<Scope> {
    Some(match name {
        "default" | "synapse" => Scope::Default,
        "axis2" => Scope::Axis2,
        "axis2-client" => Scope::Axis2Client,
        "transport" => Scope::Transport,
        "operation" => Scope::Operation,
        _ => return None,
    })
}

// Addressing, flags, the request

fn get_address(field: Field) -> JsResult<JsValue> {
    with_run(|run| match &mut run.given.addressing {
        Some(addressing) => match addressing.field(field) {
            Some(text) => JsString::from(text.as_str()).into(),
            None => JsValue::null(),
        },
        None => {
            run.needs_all = true;
            JsValue::null()
        }
    })
}

fn set_address(field: Field, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let value = argument(arguments, 0);
    let value = if value.is_null_or_undefined() {
        None
    } else {
        Some(value.to_string(context)?.to_std_string_lossy())
    };
    with_run(|run| {
        if let Some(addressing) = &mut run.given.addressing {
            addressing.field(field).clone_from(&value);
        }
        run.changes.push(Change::Address(field, value));
        JsValue::undefined()
    })
}

fn flag(look: fn(&super::protocol::Flags) -> bool) -> JsResult<JsValue> {
    with_run(|run| JsValue::from(look(&run.given.flags)))
}

fn set_flag(flag: Flag, arguments: &[JsValue]) -> JsResult<JsValue> {
    let yes = argument(arguments, 0).to_boolean();
    with_run(|run| {
        *run.given.flags.flag(flag) = yes;
        run.changes.push(Change::Flag(flag, yes));
        JsValue::undefined()
    })
}

fn request(look: impl Fn(&super::protocol::Request) -> JsValue) -> JsResult<JsValue> {
    with_run(|run| match &run.given.request {
        Some(request) => look(request),
        None => {
            run.needs_all = true;
            JsValue::undefined()
        }
    })
}

fn query(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let query = with_run(|run| {
        run.needs_all |= run.given.request.is_none();
        run.given
            .request
            .as_ref()
            .and_then(|request| request.query.clone())
    })?;
    let object = JsObject::with_object_proto(context.intrinsics());
    for pair in query
        .as_deref()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text: &str| {
            let spaced = text.replace('+', " ");
            JsString::from(&*percent_decode_str(&spaced).decode_utf8_lossy())
        };
        object.create_data_property_or_throw(decoded(name), decoded(value), context)?;
    }
    Ok(object.into())
}

fn headers(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let list = with_run(|run| {
        run.needs_all |= !run.given.transport.all;
        run.given.transport.list.clone()
    })?;
    let object = JsObject::with_object_proto(context.intrinsics());
    for (name, value) in list {
        if let Some(value) = value {
            let value = to_js(&value, context)?;
            object.create_data_property_or_throw(JsString::from(name.as_str()), value, context)?;
        }
    }
    let traps = boa_engine::object::builtins::JsProxyBuilder::new(object).get(|_, arguments, context| {
        let target = argument(arguments, 0);
        let Some(target) = target.as_object() else {
            return Ok(JsValue::undefined());
        };
        match argument(arguments, 1).as_string() {
            Some(name) => target.get(
                JsString::from(name.to_std_string_lossy().to_ascii_lowercase().as_str()),
                context,
            ),
            None => Ok(JsValue::undefined()),
        }
    });
    Ok(traps.build(context)?.into())
}

// The store

fn store(call: StoreCall, context: &mut Context) -> JsResult<JsValue> {
    let port = with_run(|run| run.store())?;
    match port(&call) {
        Ok(Some(text)) => json_value(&text, context),
        Ok(None) => Ok(JsValue::null()),
        Err(reason) => Err(JsNativeError::error().with_message(reason).into()),
    }
}

fn store_set(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let key = text(arguments, 0, context)?;
    let millis = match argument(arguments, 2).as_object() {
        Some(options) => {
            let seconds = options.get(js_string!("seconds"), context)?.to_number(context)?;
            if seconds.is_nan() || seconds < 0.0 {
                let message = "mc.store.set: say how long with {seconds: 60}";
                return Err(JsNativeError::range().with_message(message).into());
            }
            Some((seconds * 1000.0) as u64)
        }
        None => None,
    };
    match stringified(&argument(arguments, 1), context)? {
        Some(value) => store(StoreCall::Set(key, value, millis), context),
        None => store(StoreCall::Delete(key), context),
    }?;
    Ok(JsValue::undefined())
}

fn store_list(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let prefix = match arguments.first() {
        Some(value) if !value.is_null_or_undefined() => value.to_string(context)?.to_std_string_lossy(),
        _ => String::new(),
    };
    store(StoreCall::Keys(prefix), context)
}

fn store_counter(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let key = text(arguments, 0, context)?;
    let by = match arguments.get(1) {
        Some(value) if !value.is_undefined() => value.to_integer_or_infinity(context)?,
        _ => boa_engine::value::IntegerOrInfinity::Integer(1),
    };
    let by = match by {
        boa_engine::value::IntegerOrInfinity::Integer(by) => by,
        _ => {
            return Err(JsNativeError::range()
                .with_message("a counter counts in whole numbers")
                .into());
        }
    };
    store(StoreCall::Add(key, by), context)
}

// The log, and what else there is

fn service_log(this: &JsValue, context: &mut Context) -> JsResult<JsValue> {
    match this.as_object() {
        Some(object) => object.get(js_string!("serviceLog"), context),
        None => Ok(JsValue::undefined()),
    }
}

fn log_line(level: Level, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    log(level, arguments, context)
}

fn log(level: Level, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let mut line = String::new();
    for value in arguments {
        if !line.is_empty() {
            line.push(' ');
        }
        let shown = match value.as_object() {
            Some(object) if object.is::<boa_engine::builtins::error::Error>() => None,
            Some(_) if runtime::markup(value, context)?.is_none() => stringified(value, context)?,
            _ => None,
        };
        match shown {
            Some(text) => line.push_str(&text),
            None => line.push_str(&value.to_string(context)?.to_std_string_lossy()),
        }
    }
    let place = context
        .stack_trace()
        .map(|frame| frame.position())
        .find_map(|place| place.position)
        .map_or(0, |position| position.line_number());
    with_run(|run: &mut Run| {
        run.log(level, &line, place);
        JsValue::undefined()
    })
}

fn uuid(_: &JsValue, _: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    let bits = with_run(|run| run.random().u128(..))?;
    let bits = (bits & !(0xF000 << 64) & !(0xC000 << 48)) | (0x4000 << 64) | (0x8000 << 48);
    let hex = format!("{bits:032x}");
    let text = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    );
    Ok(JsString::from(text.as_str()).into())
}

fn random(_: &JsValue, _: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    with_run(|run| JsValue::from(run.random().f64()))
}

fn sleep_for(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let asked = argument(arguments, 0).to_number(context)?;
    // What is no number is no time.
    change(Change::Wait(asked.max(0.0) as u64))
}

// Values

fn change(change: Change) -> JsResult<JsValue> {
    with_run(|run| {
        run.changes.push(change);
        JsValue::undefined()
    })
}

pub fn argument(arguments: &[JsValue], index: usize) -> JsValue {
    arguments.get(index).cloned().unwrap_or_default()
}

pub fn text(arguments: &[JsValue], index: usize, context: &mut Context) -> JsResult<String> {
    Ok(argument(arguments, index)
        .to_string(context)?
        .to_std_string_lossy())
}

fn limits() -> JsonLimits {
    JsonLimits {
        depth: 512,
        size: 64 << 20,
    }
}

fn json_value(text: &str, context: &mut Context) -> JsResult<JsValue> {
    let json = json::parse(text.as_bytes(), &limits());
    let json =
        json.map_err(|error| JsNativeError::syntax().with_message(format!("the text is not JSON: {error}")))?;
    JsValue::from_json(&json, context)
}

pub fn to_js(datum: &Datum, context: &mut Context) -> JsResult<JsValue> {
    Ok(match datum {
        Datum::Text(text) => JsString::from(text.as_str()).into(),
        Datum::Boolean(value) => JsValue::from(*value),
        Datum::Integer(value) => match i32::try_from(*value) {
            Ok(small) => JsValue::from(small),
            Err(_) => JsValue::from(*value as f64),
        },
        Datum::Number(value) => JsValue::from(*value),
        Datum::Json(text) => json_value(text, context)?,
        Datum::Xml(text) => runtime::value(text, context)?,
    })
}

/// A value as it leaves a script; nothing for what is nothing.
pub fn from_js(value: &JsValue, context: &mut Context) -> JsResult<Option<Datum>> {
    if value.is_null_or_undefined() {
        return Ok(None);
    }
    if let Some(value) = value.as_boolean() {
        return Ok(Some(Datum::Boolean(value)));
    }
    if let Some(text) = value.as_string() {
        return Ok(Some(Datum::Text(text.to_std_string_lossy())));
    }
    if let Some(number) = value.as_number() {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        return Ok(Some(if !number.is_finite() {
            Datum::Text(value.to_string(context)?.to_std_string_lossy())
        } else if number.fract() == 0.0 && number.abs() <= EXACT {
            Datum::Integer(number as i64)
        } else {
            Datum::Number(number)
        }));
    }
    if let Some(text) = runtime::markup(value, context)? {
        return Ok(Some(match runtime::is_element(value, context)? {
            true => Datum::Xml(text),
            false => Datum::Text(value.to_string(context)?.to_std_string_lossy()),
        }));
    }
    if value.is_object() {
        return Ok(match stringified(value, context)? {
            Some(text) => Some(Datum::Json(text)),
            None => Some(Datum::Text(value.to_string(context)?.to_std_string_lossy())),
        });
    }
    Ok(Some(Datum::Text(value.to_string(context)?.to_std_string_lossy())))
}

/// As `JSON.stringify`; XML values become texts. `None` for what JSON has no words for.
fn stringified(value: &JsValue, context: &mut Context) -> JsResult<Option<String>> {
    let object = context.intrinsics().objects().json();
    let function = object.get(js_string!("stringify"), context)?;
    let Some(function) = function.as_callable() else {
        return Ok(None);
    };
    let text = function.call(&JsValue::undefined(), std::slice::from_ref(value), context)?;
    Ok(text.as_string().map(|text| text.to_std_string_lossy()))
}
