-- The filter's side of the shared memory (rvm_frame_protocol.py): slots, settings and pictures. A part of
-- rvm_filter.lua, which loads this file.

local C, P = ... -- libobs; the protocol's constants and memory
local ffi = require("ffi")
local bit = require("bit")
local obs = obslua

local owners = {} -- slot index -> the filter that uses it
local last_instance = 0

local fence = function() end -- Intel's and AMD's processors write in order
if jit.arch ~= "x64" and jit.arch ~= "x86" then
  local counted -- an object whose reference count is changed: every change is an atomic operation
  fence = function()
    counted = counted or C.obs_data_create()
    C.obs_data_addref(counted)
    C.obs_data_release(counted)
    C.obs_data_addref(counted)
    C.obs_data_release(counted)
  end
end

-- Writes the settings, as JSON, for the worker. Does nothing if the filter has no slot.
local function write_text(d, text)
  local c = d.control
  if not c or #text > ffi.sizeof(c.settings) then return end
  local sequence = bit.bor(tonumber(c.settings_sequence), 1)
  c.settings_sequence = sequence
  fence()
  ffi.copy(c.settings, text, #text)
  c.settings_length = #text
  fence()
  c.settings_sequence = sequence + 1
end

local function give_back(d)
  if not d.slot then return end
  d.control.instance = 0
  owners[d.slot] = nil
  d.slot, d.control = nil, nil
end

-- Claims the first free slot, or that of a filter that has not been drawn for two seconds. Returns whether it got one.
local function claim(d, now)
  local index
  for i = 0, P.slot_count - 1 do
    local owner = owners[i]
    if not owner or now - owner.now > 2e9 then
      index = i
      if not owner then break end
    end
  end
  if not index then return false end
  if owners[index] then give_back(owners[index]) end
  owners[index] = d
  local base = P.base + P.page + index * P.slot_bytes
  d.slot, d.control = index, ffi.cast("rvm_control *", base)
  d.pictures, d.mattes = {}, {}
  for i = 0, P.buffers - 1 do
    d.pictures[i] = base + P.page + i * (P.page + P.picture_capacity)
    d.mattes[i] = base + P.mattes_offset + i * (P.page + P.matte_capacity)
  end
  local c = d.control
  c.picture_count, c.matte_count, c.taken, c.work_ns, c.rate_milli = 0, 0, 0, 0, 0
  c.latency_ns, c.delay_ns, c.shown_frames, c.late_frames, c.shown = 0, 0, 0, 0, P.WAITING
  local name = obs.obs_source_get_name(obs.obs_filter_get_parent(d.source)) or ""
  ffi.fill(c.name, ffi.sizeof(c.name))
  ffi.copy(c.name, name, math.min(#name, ffi.sizeof(c.name) - 1))
  last_instance = last_instance + 1
  d.instance, d.seen, d.work = last_instance, 0, 0
  write_text(d, d.worker_settings)
  fence()
  c.instance = d.instance
  return true
end

-- Publishes a picture of the filter. Its entry of the ring gets the count under which the worker can read it.
local function publish(d, entry, data, row_bytes)
  local c, width, height = d.control, d.sent_width, d.sent_height
  local count = tonumber(c.picture_count) + 1
  local block = d.pictures[count % P.buffers]
  local h, payload = ffi.cast("rvm_picture *", block), block + P.page
  h.sequence = 2 * count - 1
  h.writer = d.instance
  fence()
  h.number, h.time_ns, h.epoch, h.width, h.height = entry.number, entry.time, d.epoch, width, height
  if row_bytes * height <= P.picture_capacity then
    h.linesize = row_bytes
    ffi.copy(payload, data, row_bytes * height)
  else
    h.linesize = 4 * width
    for y = 0, height - 1 do ffi.copy(payload + y * 4 * width, data + y * row_bytes, 4 * width) end
  end
  fence()
  h.sequence = 2 * count
  fence()
  c.picture_count = count
  entry.count = count
end

return { fence = fence, write_text = write_text, claim = claim, give_back = give_back, publish = publish }
