/*
 * Send the query parameter responseCode to pick one of the responses below:
 * GET .../pet/1?responseCode=404
 */
var accept = mc.getProperty('AcceptHeader');
var responseCode = mc.getProperty('query.param.responseCode');
var responseCodeSC;
var responses = [];

if (!responses[200]) {
  responses[200] = [];
}
responses[200]["application/json"] =
{
  "id" : 0,
  "name" : "doggie",
  "price" : 1.5
};
responses[200]["application/xml"] =
<Pet>
  <id>0</id>
  <name>doggie</name>
  <price>1.5</price>
</Pet>
;

responses[400] = [];
responses[400]["application/json"] = "";
responses[400]["application/xml"] = "";

responses[404] = [];
responses[404]["application/json"] =
{
  "message" : "string"
};
responses[404]["application/xml"] = <Problem><message>string</message></Problem>;

responses[501] = [];
responses[501]["application/json"] =
{
  "code" : 501,
  "description" : "Not Implemented"
};
responses[501]["application/xml"] = <response><code>501</code><description>Not Implemented</description></response>;

if (responseCode == null) {
  responseCode = 200;
}

if (!responses[responseCode]) {
  if (responses["default"]) {
    responseCode = "default"
  } else {
    responseCode = 501;
  }
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
