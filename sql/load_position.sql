-- The newest saved position of a source's tail, of this epoch.
--   $1 source, $2 epoch
select high, gap_lows, gap_highs, highest_drawn
  from rowcast.positions
 where source = $1 and epoch = $2
