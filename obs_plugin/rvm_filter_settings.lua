-- The settings of the filter: a table with all texts, from which the defaults and the dialog are made and the settings
-- are read. A part of rvm_filter.lua, which loads this file. It uses only OBS's data and properties.

local P = ... -- the protocol's constants and memory: see rvm_filter.lua
local obs = obslua

-- kind: a key of KINDS below. range: lowest, highest, step. choices: value, text. shown: the setting is visible only
-- while another setting has (is) or does not have (is_not) that value.
local GROUPS = {
  { name = "picture", label = "Picture", settings = {
    { name = "output", kind = "list", default = "transparent", label = "Output", tip = "What replaces the background.",
      choices = {
        { "transparent", "Transparent background" }, { "color_key", "Solid colour" }, { "blur", "Blurred background" },
        { "image", "Image" }, { "alpha", "Matte only (greyscale)" } } },
    { name = "key_color", kind = "color", default = 0xFF00FF00, label = "Colour",
      shown = { setting = "output", is = "color_key" },
      tip = "For a plain background, or for a chroma key that is applied later." },
    { name = "blur", kind = "slider", default = 50, range = { 1, 100, 1 }, label = "Blur (%)",
      shown = { setting = "output", is = "blur" }, tip = "Higher values hide more of the room." },
    { name = "image_file", kind = "image", default = "", label = "Image", shown = { setting = "output", is = "image" },
      tip = "Fills the frame. Parts that do not fit are cropped." },
  } },
  { name = "edge", label = "Edge", settings = {
    { name = "edge_shift", kind = "float_slider", default = 0, range = { -10, 10, 0.5 }, label = "Shift (pixels)",
      tip = "Positive values move the edge outwards, negative values inwards. Move it inwards to hide a rim of the"
        .. " background." },
    { name = "edge_feather", kind = "float_slider", default = 0, range = { 0, 20, 0.5 }, label = "Feather (pixels)",
      tip = "Softens the edge." },
    { name = "decontaminate", kind = "slider", default = 50, range = { 0, 100, 5 }, label = "Decontaminate (%)",
      shown = { setting = "output", is_not = "alpha" },
      tip = "Removes the colour of the background from soft edges such as hair. 0 is fastest." },
  } },
  { name = "network", label = "Network", settings = {
    { name = "model", kind = "list", default = "mobilenetv3", label = "Model",
      tip = "ResNet50 gives finer edges and needs a powerful GPU.",
      choices = { { "mobilenetv3", "MobileNetV3 (fast)" }, { "resnet50", "ResNet50 (finer, slower)" } } },
    { name = "downsample", kind = "list", default = "auto", label = "Framing",
      tip = "The network sees a reduced copy of each frame. Full body keeps more detail of people who are small in the"
        .. " frame, and is slower.",
      choices = { { "auto", "Automatic" }, { "portrait", "Head and shoulders" }, { "full_body", "Full body" } } },
    { name = "scene_cuts", kind = "bool", default = true, label = "Reset at scene cuts",
      tip = "For edited videos: the network forgets the previous scene at each cut. Not needed for a fixed camera." },
  } },
  { name = "timing", label = "Timing", settings = {
    { name = "sync", kind = "list", default = "steady", label = "Synchronisation",
      tip = "Computing a matte takes time. In sync, each frame waits for its own matte. With a constant delay you can"
        .. " delay the audio by the same time. With the lowest latency, frames do not wait: the edge lags behind"
        .. " movement, and slivers of the room are visible.",
      choices = {
        { "steady", "In sync, constant delay" }, { "soon", "In sync, shortest delay" },
        { "newest", "Not in sync, lowest latency" } } },
    { name = "fixed_delay", kind = "int", default = 0, range = { 0, 500, 1 }, label = "Delay (ms, 0 = automatic)",
      shown = { setting = "sync", is = "steady" },
      tip = "How long each frame is delayed. Automatic uses the shortest delay that works." },
    { name = "skip", kind = "list", default = "auto", label = "Frames to matte",
      tip = "A worker that is too slow for every frame gets every second or third one, at regular intervals.",
      choices = {
        { "auto", "Skip evenly under load" }, { "1", "As many as possible" }, { "2", "Every second frame" },
        { "3", "Every third frame" } } },
  } },
  { name = "safety", label = "When no matte arrives", settings = {
    { name = "late", kind = "list", default = "freeze", label = "Action",
      tip = "What is shown while the worker is late, stopped or starting.",
      choices = {
        { "freeze", "Freeze, then hide" }, { "hide", "Hide" },
        { "raw", "Show the whole frame, including the room" } } },
    { name = "freeze", kind = "int", default = 1000, range = { 0, 10000, 100 }, label = "Freeze for (ms)",
      shown = { setting = "late", is = "freeze" }, tip = "How long the last frame stays visible." },
  } },
}

local IMAGES = "Images (*.png *.jpg *.jpeg *.bmp *.tga *.gif *.webp)"

-- kind -> type: the obs_data functions for its value. add: adds its property to the group's properties.
local KINDS = {
  bool = { type = "bool", add = function(group, s) return obs.obs_properties_add_bool(group, s.name, s.label) end },
  color = { type = "int", add = function(group, s) return obs.obs_properties_add_color(group, s.name, s.label) end },
  float_slider = { type = "double", add = function(group, s)
    return obs.obs_properties_add_float_slider(group, s.name, s.label, unpack(s.range))
  end },
  image = { type = "string", add = function(group, s)
    return obs.obs_properties_add_path(group, s.name, s.label, obs.OBS_PATH_FILE, IMAGES, nil)
  end },
  int = { type = "int", add = function(group, s)
    return obs.obs_properties_add_int(group, s.name, s.label, unpack(s.range))
  end },
  list = { type = "string", add = function(group, s)
    local list = obs.obs_properties_add_list(
      group, s.name, s.label, obs.OBS_COMBO_TYPE_LIST, obs.OBS_COMBO_FORMAT_STRING)
    for _, choice in ipairs(s.choices) do obs.obs_property_list_add_string(list, choice[2], choice[1]) end
    return list
  end },
  slider = { type = "int", add = function(group, s)
    return obs.obs_properties_add_int_slider(group, s.name, s.label, unpack(s.range))
  end },
}

local ALL, DECIDES = {}, {} -- all settings in order; the names of those that decide whether others are visible
for _, group in ipairs(GROUPS) do
  for _, setting in ipairs(group.settings) do
    ALL[#ALL + 1] = setting
    if setting.shown then DECIDES[setting.shown.setting] = true end
  end
end

local function get_defaults(data)
  for _, s in ipairs(ALL) do obs["obs_data_set_default_" .. KINDS[s.kind].type](data, s.name, s.default) end
end

-- Sets the fields of d that have the settings' names (times in ns). Returns the settings for the worker, as JSON.
local function read(d, data)
  for _, s in ipairs(ALL) do d[s.name] = obs["obs_data_get_" .. KINDS[s.kind].type](data, s.name) end
  d.fixed_delay, d.freeze = d.fixed_delay * 1e6, d.freeze * 1e6
  local for_worker = obs.obs_data_create()
  obs.obs_data_set_string(for_worker, "model", d.model)
  obs.obs_data_set_string(for_worker, "downsample", d.downsample)
  obs.obs_data_set_double(for_worker, "edge_shift", d.edge_shift)
  obs.obs_data_set_double(for_worker, "edge_feather", d.edge_feather)
  -- the output "matte only" shows no colours
  obs.obs_data_set_double(for_worker, "decontaminate", d.output == "alpha" and 0 or d.decontaminate / 100)
  obs.obs_data_set_bool(for_worker, "scene_cuts", d.scene_cuts)
  local text = obs.obs_data_get_json(for_worker)
  obs.obs_data_release(for_worker)
  return text
end

local function show_what_applies(properties, _, data)
  for _, s in ipairs(ALL) do
    if s.shown then
      local value = obs.obs_data_get_string(data, s.shown.setting)
      local visible = s.shown.is == value or s.shown.is_not ~= nil and s.shown.is_not ~= value
      obs.obs_property_set_visible(obs.obs_properties_get(properties, s.name), visible)
    end
  end
  return true -- OBS draws the dialog again
end

local function status_text(d)
  if not d or d.now == 0 then return "OBS has not shown this source yet." end
  if not d.control then
    return string.format("All %d slots are in use. Remove the filter from another source.", P.slot_count)
  end
  if tonumber(P.header.worker_state) ~= P.READY then
    return "The worker is not ready. See Tools > Scripts > rvm_obs.py for the reason."
  end
  return string.format("Delay: %.0f ms. Set the same delay for the audio of this source (Edit > Advanced Audio"
    .. " Properties > Sync Offset). Mattes per second: %.1f.", tonumber(d.control.delay_ns) / 1e6,
    tonumber(d.control.rate_milli) / 1000)
end

local function get_properties(d)
  local properties = obs.obs_properties_create()
  obs.obs_properties_add_text(properties, "status", status_text(d), obs.OBS_TEXT_INFO)
  for _, group in ipairs(GROUPS) do
    local inside = obs.obs_properties_create()
    obs.obs_properties_add_group(properties, group.name, group.label, obs.OBS_GROUP_NORMAL, inside)
    for _, s in ipairs(group.settings) do
      local property = KINDS[s.kind].add(inside, s)
      obs.obs_property_set_long_description(property, s.tip)
      if DECIDES[s.name] then obs.obs_property_set_modified_callback(property, show_what_applies) end
    end
  end
  return properties
end

return { groups = GROUPS, get_defaults = get_defaults, read = read, get_properties = get_properties }
