-- The filter "RVM Matte", inside OBS. rvm_obs.py loads this file and passes the shared memory (rvm_frame_protocol.py).
--
-- When the filter is drawn for a new video frame, it draws the source into a texture of the ring. It writes the
-- previous frame's texture, which the GPU has copied back by now, to the shared memory. It uploads the mattes that have
-- arrived, each next to the texture of its picture. The output is always drawn from such a pair.
--
-- This file loads its parts: rvm_filter_settings.lua (settings and dialog), rvm_filter_memory.lua (shared memory),
-- rvm_filter_drawing.lua (graphics) and rvm_filter_timing.lua (which pair is shown when).
--
-- Rules that keep OBS running (each one is from a crash or a freeze):
-- - Functions that may draw other sources, or call back into these files, are called through obslua, never through FFI.
-- - No graphics calls in create, destroy and update: objects to be freed go on a list and are freed while drawing.
-- - get_width and get_height are defined, because a Lua source without them is 0x0.
-- - Target and parent may be missing while a filter is being removed.
-- - OBS's error() only writes to the log and returns; assert() stops.

local obs = obslua
local ffi = require("ffi")
local bit = require("bit")
jit.off() -- an FFI call may call back into another filter of this file, which crashes compiled code

local GAP = 1e9 -- ns without being drawn after which earlier pictures are discarded
local RING_LIMIT = 48 -- textures
local ASYNC_OR_CUSTOM_DRAW = 12 -- output flags of a source

-- constants of libobs whose names in obslua differ between versions
local GS = { R8 = 2, RGBA = 3, RGBA16F = 9, DYNAMIC = 2, ZERO = 0, ONE = 1, SRC_ALPHA = 4, INV_SRC_ALPHA = 5 }

-- everything that this file and its parts call through FFI
ffi.cdef([[
typedef struct { void *type; int own; void *pointer; } rvm_swig;
typedef struct { float x, y, z, w; } rvm_vector;
char *os_quick_read_utf8_file(const char *); void bfree(void *);
void *obs_filter_get_target(void *); void *obs_filter_get_parent(void *);
uint32_t obs_source_get_output_flags(void *); uint64_t obs_get_video_frame_time(void);
void *obs_data_create(void); void obs_data_addref(void *); void obs_data_release(void *);
void obs_enter_graphics(void); void obs_leave_graphics(void);
void *gs_texrender_create(int, int); void gs_texrender_destroy(void *); void gs_texrender_reset(void *);
bool gs_texrender_begin(void *, uint32_t, uint32_t); void gs_texrender_end(void *);
void *gs_texrender_get_texture(void *);
void *gs_stagesurface_create(uint32_t, uint32_t, int); void gs_stagesurface_destroy(void *);
void gs_stage_texture(void *, void *); bool gs_stagesurface_map(void *, uint8_t **, uint32_t *);
void gs_stagesurface_unmap(void *);
void *gs_texture_create(uint32_t, uint32_t, int, uint32_t, const uint8_t **, uint32_t);
void *gs_texture_create_from_file(const char *); void gs_texture_destroy(void *);
uint32_t gs_texture_get_width(void *); uint32_t gs_texture_get_height(void *);
void gs_texture_set_image(void *, const uint8_t *, uint32_t, bool);
void *gs_effect_create_from_file(const char *, char **); void gs_effect_destroy(void *);
void *gs_effect_get_param_by_name(void *, const char *); void *gs_effect_get_technique(void *, const char *);
void gs_effect_set_texture(void *, void *); void gs_effect_set_texture_srgb(void *, void *);
void gs_effect_set_float(void *, float); void gs_effect_set_vec2(void *, const void *);
void gs_effect_set_vec4(void *, const void *);
size_t gs_technique_begin(void *); bool gs_technique_begin_pass(void *, size_t);
void gs_technique_end_pass(void *); void gs_technique_end(void *);
void gs_draw_sprite(void *, uint32_t, uint32_t, uint32_t);
void gs_blend_state_push(void); void gs_blend_state_pop(void); void gs_blend_function(int, int);
void gs_blend_function_separate(int, int, int, int);
void gs_clear(uint32_t, const void *, float, uint8_t); void gs_ortho(float, float, float, float, float, float);
void gs_enable_framebuffer_srgb(bool); bool gs_framebuffer_srgb_enabled(void);
]])
local C = ffi.os == "Windows" and ffi.load("obs") or ffi.C

-- Set when the script is loaded: the protocol's constants (slot_count, page, ...) and the memory (base, header).
local P = {}

-- Runs a part of this file and returns its result. libobs reads the file, because on Windows Lua's own functions
-- (io.open, and thus dofile and require) cannot open a path with characters outside the system's code page. Nothing is
-- cached, so that Reload reads all files again.
local function part(name, ...)
  local path = script_path() .. name
  local bytes = C.os_quick_read_utf8_file(path)
  assert(bytes ~= nil, path .. " is missing or cannot be read. Keep all files of obs_plugin in one folder.")
  local text = ffi.string(bytes)
  C.bfree(bytes)
  return assert(loadstring(text, "@" .. name))(...)
end

local settings = part("rvm_filter_settings.lua", P)
local memory = part("rvm_filter_memory.lua", C, P)
local drawing = part("rvm_filter_drawing.lua", C, GS)
local timing = part("rvm_filter_timing.lua", P)

local last_number, last_epoch = 0, 0
local mapped, linesize = ffi.new("uint8_t *[1]"), ffi.new("uint32_t[1]")

local function pointer(object) return ffi.cast("rvm_swig *", object).pointer end

-- The ring ---------------------------------------------------------------------------------------------------------
-- An entry has render and its texture, number and time. count is set when it is published, matted when its matte is in
-- `matte` (and its correction, if any, in `correction`).

local function forget_pairs(d)
  for _, entry in ipairs(d.ring) do entry.matted, entry.number, entry.count = false, 0, nil end
  d.shown, d.waiting_stage, d.newest, d.blurred_of = nil, nil, nil, nil
  d.renewed, d.interval, d.delays = nil, 0, {}
  last_epoch = last_epoch + 1
  d.epoch = last_epoch
end

local function free_ring(d)
  for _, entry in ipairs(d.ring) do
    drawing.free_later("gs_texrender_destroy", entry.render)
    drawing.free_later("gs_texture_destroy", entry.matte)
    drawing.free_later("gs_texture_destroy", entry.correction)
  end
  for _, stage in ipairs(d.stages) do drawing.free_later("gs_stagesurface_destroy", stage) end
  for _, render in pairs(d.renders) do drawing.free_later("gs_texrender_destroy", render) end
  d.ring, d.stages, d.renders = {}, {}, {}
  forget_pairs(d)
end

local function resize(d, width, height)
  free_ring(d)
  d.width, d.height = width, height
  d.sent_width, d.sent_height = width, height
  if width * height > P.max_pixels then
    local factor = math.sqrt(P.max_pixels / (width * height))
    d.sent_width, d.sent_height = math.max(1, math.floor(width * factor)), math.max(1, math.floor(height * factor))
    d.renders.sent = C.gs_texrender_create(GS.RGBA, 0)
  end
  for i = 1, 2 do d.stages[i] = C.gs_stagesurface_create(d.sent_width, d.sent_height, GS.RGBA) end
  d.delay, d.started, d.mattes_seen = 0, nil, 0
end

-- Whether the entry is no longer needed: it is not shown, not on its way to the worker, not in work there, and, if it
-- has a matte, not waiting to be shown.
local function is_spent(d, entry)
  if entry == d.shown or entry == d.waiting_stage then return false end
  if entry.number == 0 then return true end
  if entry.matted then return d.shown ~= nil and entry.time < d.shown.time end
  if entry.number == tonumber(d.control.taken) then return false end
  return entry.count == nil or entry.count + P.buffers <= tonumber(d.control.picture_count)
end

local function next_entry(d)
  local oldest
  for _, entry in ipairs(d.ring) do
    if is_spent(d, entry) then return entry end
    if entry ~= d.shown and entry ~= d.waiting_stage and (not oldest or entry.number < oldest.number) then
      oldest = entry
    end
  end
  if #d.ring >= RING_LIMIT then return oldest end
  local entry = { render = C.gs_texrender_create(GS.RGBA, 0), number = 0, matted = false }
  d.ring[#d.ring + 1] = entry
  return entry
end

local function capture(d, target, parent)
  local entry = next_entry(d)
  last_number = last_number + 1
  entry.number, entry.time, entry.count, entry.matted, entry.corrected = last_number, d.now, nil, false, false
  local plain = target == parent and bit.band(C.obs_source_get_output_flags(parent), ASYNC_OR_CUSTOM_DRAW) == 0
  entry.texture = drawing.draw_into(entry.render, d.width, d.height, function()
    C.gs_blend_function_separate(GS.SRC_ALPHA, GS.INV_SRC_ALPHA, GS.ONE, GS.INV_SRC_ALPHA)
    local source = obs.obs_filter_get_target(d.source)
    if plain then obs.obs_source_default_render(source) else obs.obs_source_video_render(source) end
  end)
  if entry.texture == nil then entry.number = 0 return nil end
  return entry
end

-- Makes the GPU copy the entry's picture; publishes the picture of the previous call, which has arrived by now.
local function hand_over(d, entry)
  local before, stage = d.waiting_stage, d.stage_index or 1
  local texture = entry and entry.texture
  if texture and d.renders.sent then
    texture = drawing.fill_into(d.renders.sent, "Copy", texture, d.sent_width, d.sent_height, false)
  end
  if texture then C.gs_stage_texture(d.stages[3 - stage], texture) end
  if before and C.gs_stagesurface_map(d.stages[stage], mapped, linesize) then
    memory.publish(d, before, mapped[0], linesize[0])
    C.gs_stagesurface_unmap(d.stages[stage])
  end
  d.waiting_stage = texture and entry or nil
  d.stage_index = 3 - stage
end

-- Uploads the matte in a block to its picture's entry. Returns the entry, or nil if one of them is gone.
local function receive(d, block, count)
  local h = ffi.cast("rvm_matte *", block)
  memory.fence()
  if tonumber(h.sequence) ~= 2 * count or tonumber(h.instance) ~= d.instance then return nil end
  local number, width, height = tonumber(h.number), tonumber(h.width), tonumber(h.height)
  local wide, high = tonumber(h.correction_width), tonumber(h.correction_height)
  if width < 1 or height < 1 or math.max(width, height, wide, high) > P.max_side then return nil end
  if width * height > P.max_pixels or 4 * wide * high > P.correction_capacity then return nil end
  local entry
  for _, candidate in ipairs(d.ring) do
    if candidate.number == number and number > 0 then entry = candidate end
  end
  if not entry or entry.matted then return nil end
  local payload = block + P.page
  entry.matte = drawing.uploaded(entry.matte, GS.R8, payload, width, height, entry.matte_width, entry.matte_height)
  entry.matte_width, entry.matte_height = width, height
  entry.corrected = wide > 0 and high > 0
  if entry.corrected then
    local data = payload + P.correction_offset
    entry.correction = drawing.uploaded(entry.correction, GS.RGBA, data, wide, high, entry.wide, entry.high)
    entry.wide, entry.high = wide, high
  end
  memory.fence()
  entry.matted = tonumber(h.sequence) == 2 * count and entry.matte ~= nil
  return entry.matted and entry or nil
end

-- Called once per video frame.
local function tick(d, target, parent, width, height, now)
  local before = d.now
  d.now = now
  if width ~= d.width or height ~= d.height then
    resize(d, width, height)
  elseif now - before > GAP or now < before then
    forget_pairs(d)
  end
  if not d.slot and not memory.claim(d, now) then return end
  local c = d.control
  c.width, c.height = width, height
  d.work = tonumber(c.work_ns)
  timing.adapt_skip(d)
  d.frames = d.frames + 1
  local state = tonumber(P.header.worker_state)
  local due = (state == P.STARTING or state == P.READY) and d.frames % d.every == 0
  local trial = d.trial
  if trial then
    trial.frames = trial.frames + 1
    if due and d.renewed and state == P.READY then trial.handed = trial.handed + 1 end
  end
  local entry
  if due or d.sync == "newest" then entry = capture(d, target, parent) end
  d.newest = entry or d.newest
  hand_over(d, due and entry or nil)
  local count = tonumber(c.matte_count)
  for i = math.max(d.seen + 1, count - P.buffers + 1), count do
    local received = receive(d, d.mattes[i % P.buffers], i)
    if received then
      d.started = d.started or now
      if trial and d.renewed then trial.came = trial.came + 1 end
      timing.adapt_delay(d, now - received.time)
    end
  end
  d.seen = count
  timing.choose(d)
  c.latency_ns = d.latency or 0
end

-- Drawing ----------------------------------------------------------------------------------------------------------

local function video_render(d)
  drawing.free_now()
  local source = pointer(d.source)
  local target, parent = C.obs_filter_get_target(source), C.obs_filter_get_parent(source)
  if target == nil or parent == nil then return end
  local can_draw = drawing.prepare(P.effect_file)
  local object = obs.obs_filter_get_target(d.source)
  local width, height = obs.obs_source_get_base_width(object), obs.obs_source_get_base_height(object)
  if width == 0 or height == 0 then return end
  local now = tonumber(C.obs_get_video_frame_time())
  local is_new = now ~= d.now
  if is_new then tick(d, target, parent, width, height, now) end
  local shown, picture, matted = timing.scene_now(d, can_draw)
  if is_new and d.control then
    local c = d.control
    c.shown = shown
    if d.sync == "steady" then
      c.delay_ns = timing.steady_delay(d)
    elseif picture then
      c.delay_ns = now - picture.time
    end
    if shown == P.LIVE then
      c.shown_frames = c.shown_frames + 1
    elseif d.renewed then
      c.late_frames = c.late_frames + 1
    end
  end
  if shown == P.RAW then
    obs.obs_source_skip_video_filter(d.source)
  elseif can_draw then
    drawing.draw(d, picture, matted)
  end
end

-- Registration -----------------------------------------------------------------------------------------------------

local function update(d, data)
  local text = settings.read(d, data)
  d.blurred_of, d.trial = nil, nil
  if text ~= d.worker_settings then
    d.worker_settings, d.started, d.mattes_seen = text, nil, 0
    memory.write_text(d, text)
  end
end

local function create(data, source)
  local d = {
    source = source, ring = {}, stages = {}, renders = {}, now = 0, width = 0, height = 0,
    delay = 0, frames = 0, every = 1,
  }
  forget_pairs(d)
  update(d, data)
  return d
end

local function destroy(d)
  memory.give_back(d)
  free_ring(d)
  drawing.free_later("gs_texture_destroy", d.image)
  d.image = nil
end

local function target_size(measure)
  return function(d)
    local target = obs.obs_filter_get_target(d.source)
    return target and measure(target) or 0
  end
end

function script_description() return "Part of RVM Matte. Remove this file from the list and add rvm_obs.py." end

function script_load(data)
  local address = obs.obs_data_get_string(data, "address")
  if address == "" then
    print("rvm_filter.lua does not work on its own. Remove it from the list and add rvm_obs.py.")
    return
  end
  ffi.cdef(obs.obs_data_get_string(data, "layout"))
  for name in obs.obs_data_get_string(data, "names"):gmatch("%S+") do P[name] = obs.obs_data_get_int(data, name) end
  P.base = ffi.cast("uint8_t *", ffi.cast("uintptr_t", tonumber(address)))
  P.header = ffi.cast("rvm_header *", P.base)
  P.effect_file = script_path() .. "rvm_filter.effect"
  obs.obs_register_source({
    id = "rvm_matte_filter", type = obs.OBS_SOURCE_TYPE_FILTER,
    output_flags = bit.bor(obs.OBS_SOURCE_VIDEO, 0x8000), -- OBS_SOURCE_SRGB
    get_name = function() return "RVM Matte" end,
    create = create, destroy = destroy, update = update, video_render = video_render,
    get_width = target_size(obs.obs_source_get_base_width), get_height = target_size(obs.obs_source_get_base_height),
    get_defaults = settings.get_defaults, get_properties = settings.get_properties,
  })
end

function script_unload()
  drawing.free_effect()
  C.obs_enter_graphics()
  drawing.free_now()
  C.obs_leave_graphics()
end
