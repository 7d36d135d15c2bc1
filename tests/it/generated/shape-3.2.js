var response200json = {
  "id" : 0,
  "name" : "doggie",
  "price" : 1.5
};
var response200xml = <Pet><id>0</id><name>doggie</name><price>1.5</price></Pet>;
var response400json = "";
var response400xml = "";
var response404json = { "message" : "string" };
var response404xml = <Problem><message>string</message></Problem>;
var response501json = {"code":501,"description":"Not Implemented"};
var response501xml = <response><code>501</code><description>Not Implemented</description></response>;

var accept = "\"" + mc.getProperty('AcceptHeader') + "\"";
var responseCode = mc.getProperty('query.param.responseCode');

if (accept == null || accept == "\"null\"" || (accept != "\"application/json\"" && accept != "\"application/xml\"")) {
 accept = "\"application/json\"";
}

if (responseCode == null) {
 mc.setProperty('HTTP_SC', "200");
 if (accept == "\"application/json\"") {
  mc.setProperty('CONTENT_TYPE', 'application/json');
  mc.setPayloadJSON(response200json);
 } else {
  mc.setProperty('CONTENT_TYPE', 'application/xml');
  mc.setPayloadXML(response200xml);
 }
} else if (responseCode == 200) {
 mc.setProperty('HTTP_SC', "200");
 if (accept == "\"application/json\"") {
  mc.setProperty('CONTENT_TYPE', 'application/json');
  mc.setPayloadJSON(response200json);
 } else {
  mc.setProperty('CONTENT_TYPE', 'application/xml');
  mc.setPayloadXML(response200xml);
 }
} else if (responseCode == 400) {
 mc.setProperty('HTTP_SC', "400");
 if (accept == "\"application/json\"") {
  mc.setProperty('CONTENT_TYPE', 'application/json');
  mc.setPayloadJSON(response400json);
 } else {
  mc.setProperty('CONTENT_TYPE', 'application/xml');
  mc.setPayloadXML(response400xml);
 }
} else if (responseCode == 404) {
 mc.setProperty('HTTP_SC', "404");
 if (accept == "\"application/json\"") {
  mc.setProperty('CONTENT_TYPE', 'application/json');
  mc.setPayloadJSON(response404json);
 } else {
  mc.setProperty('CONTENT_TYPE', 'application/xml');
  mc.setPayloadXML(response404xml);
 }
} else {
 mc.setProperty('HTTP_SC', "501");
 if (accept == "\"application/json\"") {
  mc.setProperty('CONTENT_TYPE', 'application/json');
  mc.setPayloadJSON(response501json);
 } else {
  mc.setProperty('CONTENT_TYPE', 'application/xml');
  mc.setPayloadXML(response501xml);
 }
}
