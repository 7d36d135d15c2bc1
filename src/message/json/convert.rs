//! Stub.
use super::Json;
use crate::message::xml::{NodeId, XmlTree};
#[derive(Debug, Clone, Default)]
pub struct ConversionSettings {}
#[derive(Debug)]
pub struct ConvertError {
    pub message: String,
}
pub fn json_to_xml(_: &Json, tree: &mut XmlTree, _: &ConversionSettings) -> NodeId {
    tree.create_element("", "", "jsonObject")
}
pub fn xml_to_json(_: &XmlTree, _: NodeId, _: &ConversionSettings) -> Result<Json, ConvertError> {
    Ok(Json::Null)
}

impl std::fmt::Display for ConvertError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
pub fn to_xml(_: &Json, _: &ConversionSettings) -> Result<XmlTree, ConvertError> {
    Ok(XmlTree::new())
}
pub fn to_json(_: &XmlTree, _: NodeId, _: &ConversionSettings) -> Result<Json, ConvertError> {
    Ok(Json::Null)
}
