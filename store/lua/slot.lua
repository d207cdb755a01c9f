-- Takes what was reckoned for grants that sweep.lua handed out. Who was edited, granted anew or pinged meanwhile is
-- left alone: that is reckoned by itself.
-- ARGV: 5 values per heartbeat: id, rev, from, slot, deadline
-- Returns the number of deadlines set.
local taken = 0
for i = 1, #ARGV, 5 do
  local h = read(ARGV[i])
  if h and h.schedule and h.rev == tonumber(ARGV[i + 1]) and h.slot_from == tonumber(ARGV[i + 2]) then
    set(h, 'slot_from', nil)
    set(h, 'slot', tonumber(ARGV[i + 3]))
    set(h, 'due', tonumber(ARGV[i + 4]))
    if h.status == 'up' and not next(h.runs) then arm(h, h.due + 0.5) end
    taken = taken + 1
  end
end
return taken
