-- Saves a tail's position, unabridged. Any relay's position, however old, is true; an older epoch's is not kept.
--   $1 source, $2 epoch, $3 high, $4 and $5 lows and highs of the gaps, $6 the highest closed id that was drawn
insert into rowcast.positions (source, epoch, high, gap_lows, gap_highs, highest_drawn, saved_at)
select s.name, $2::bigint, $3::bigint, $4::bigint[], $5::bigint[], $6::bigint, now()
  from rowcast.sources s
 where s.name = $1 and s.epoch = $2
    on conflict (source) do update
   set epoch = excluded.epoch,
       high = excluded.high,
       gap_lows = excluded.gap_lows,
       gap_highs = excluded.gap_highs,
       highest_drawn = excluded.highest_drawn,
       saved_at = excluded.saved_at
