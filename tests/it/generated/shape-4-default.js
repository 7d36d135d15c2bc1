/*
 * Only a default response is declared: nothing says which code it has.
 */
var accept = mc.getProperty('AcceptHeader');
var responseCode = mc.getProperty('query.param.responseCode');
var responseCodeSC;
var responses = [];

responses["default"] = [];
responses["default"]["application/json"] = {
  "message" : "string"
}
responses["default"]["application/xml"] = <Problem><message>string</message></Problem>;

if (responseCode == null) {
  responseCode = "default";
}

if (!responses[responseCode]) {
  responseCode = "default"
}

if (responseCode === "default") {
  responseCodeSC = mc.getProperty('query.param.responseCode');
} else {
  responseCodeSC = responseCode;
}

if (accept == null || !responses[responseCode][accept]) {
  accept = "application/json";
}

if (accept == "application/json") {
  mc.setProperty('CONTENT_TYPE', 'application/json');
  mc.setProperty('HTTP_SC', responseCodeSC + "");
  mc.setPayloadJSON(responses[responseCode]["application/json"]);
} else if (accept == "application/xml") {
  mc.setProperty('CONTENT_TYPE', 'application/xml');
  mc.setProperty('HTTP_SC', responseCodeSC + "");
  mc.setPayloadXML(responses[responseCode]["application/xml"]);
}
