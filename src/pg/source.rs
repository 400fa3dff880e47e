//! stub
pub struct Source { pub name: String, pub relation: String, pub id_column: String, pub room_column: String, pub payload_columns: Option<Vec<String>>, pub room_type: String }
impl Source { pub fn room_sql_type(&self) -> &String { &self.room_type } }
