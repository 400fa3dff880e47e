//! Stand-in for helper `sql`'s module: what is attached.

use tokio_postgres::types::Type;

use crate::room::RoomType;

#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub relation: String,
    pub relation_oid: u32,
    pub id_column: String,
    pub id_type: Type,
    pub room_column: String,
    pub room_type: RoomType,
    pub columns: Vec<String>,
    pub payload_columns: Option<Vec<String>>,
    pub id_sequence_oid: u32,
    pub bell_oid: u32,
    pub never_ring: bool,
    pub epoch: i64,
    pub start_id: i64,
    pub sequence_filenode: u32,
    pub ordinal: i64,
}
