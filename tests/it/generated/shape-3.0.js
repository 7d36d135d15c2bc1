/* mc.setProperty('CONTENT_TYPE', 'application/json'); // Set the content type of the payload to the message context
var accept = mc.getProperty('AcceptHeader'); // Get the Accept header of the request, if it was sent
mc.setProperty('HTTP_SC', "202"); // Set another status, for example 202 Accepted */

var response200json = {
  "id" : 0,
  "category" : {
    "id" : 0,
    "name" : "string"
  },
  "name" : "doggie",
  "photoUrls" : [ "string" ],
  "status" : "available"
};

var response200xml = <Pet>
  <id>0</id>
  <category>
    <id>0</id>
    <name>string</name>
  </category>
  <name>doggie</name>
  <photoUrls>string</photoUrls>
  <status>available</status>
</Pet>;

mc.setProperty('CONTENT_TYPE', 'application/json');
mc.setPayloadJSON(response200json);

/* For XML
mc.setProperty('CONTENT_TYPE', 'application/xml');
mc.setPayloadXML(response200xml);
*/
