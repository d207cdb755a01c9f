-- Takes what was reckoned for grants that sweep.lua handed out. Who was edited, granted anew or pinged meanwhile is
-- left alone: that is reckoned by itself.
-- ARGV: 6 values per heartbeat: id, rev, from, last ping (0 = never), slot, deadline
-- Returns the number of deadlines set.
local taken = 0
for i = 1, #ARGV, 6 do
  local h = read(ARGV[i])
  local rev, from, pinged = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  if h and h.schedule and h.rev == rev and h.slot_from == from and h.pinged == pinged then
    set(h, 'slot_from', nil)
    set(h, 'slot', tonumber(ARGV[i + 4]))
    set(h, 'due', tonumber(ARGV[i + 5]))
    if h.status == 'up' and not next(h.runs) then arm(h, h.due + 0.5) end
    taken = taken + 1
  end
end
return taken
