"""Which batch of which stream a node is at, from the graph alone."""

import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.rvm_nodes.meta_batch import Batch, CarriedStates, find_batch


def graph(**changes):
    inputs = {"frames_per_batch": 16, **changes}
    return {
        "1": {"class_type": "VHS_BatchManager", "inputs": inputs},
        "2": {"class_type": "VHS_LoadVideo", "inputs": {"video": "clip.mp4", "meta_batch": ["1", 0]}},
        "3": {"class_type": "RVMMatte", "inputs": {"images": ["2", 0], "warm_up": 12}},
        "4": {"class_type": "VHS_VideoCombine", "inputs": {"images": ["3", 0], "meta_batch": ["1", 0]}},
        "9": {"class_type": "RVMMatte", "inputs": {"images": ["8", 0]}},
        "8": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
    }


def test_the_counter_numbers_the_batches():
    assert [find_batch(graph(**inputs), "3").number for inputs in ({}, {"requeue": 1}, {"requeue": 7})] == [0, 1, 7]


def test_a_stream_keeps_its_name_from_batch_to_batch():
    assert find_batch(graph(), "3").stream == find_batch(graph(requeue=5), "3").stream


def test_another_clip_or_setting_is_another_stream():
    other_clip, other_setting = graph(), graph()
    other_clip["2"]["inputs"]["video"] = "other.mp4"
    other_setting["3"]["inputs"]["warm_up"] = 0
    streams = {find_batch(prompt, "3").stream for prompt in (graph(), other_clip, other_setting)}
    assert len(streams) == 3


def test_what_stands_behind_the_node_does_not_matter():
    other = graph()
    other["4"]["inputs"]["format"] = "video/h264-mp4"
    assert find_batch(other, "3").stream == find_batch(graph(), "3").stream


def test_two_nodes_of_one_graph_are_two_streams():
    prompt = graph()
    prompt["5"] = prompt["3"]
    assert find_batch(prompt, "3").stream != find_batch(prompt, "5").stream


def test_a_node_without_a_manager_before_it_is_in_no_batch():
    assert find_batch(graph(requeue=2), "9") is None


@pytest.mark.parametrize(("prompt", "node"), [(None, "3"), ({}, "3"), (graph(), None), (graph(), "77")])
def test_without_a_graph_there_is_no_batch(prompt, node):
    assert find_batch(prompt, node) is None


def test_a_loop_in_the_graph_ends():
    prompt = graph()
    prompt["2"]["inputs"]["again"] = ["3", 0]
    assert find_batch(prompt, "3").number == 0


def test_lists_that_are_no_links_are_values():
    prompt = graph()
    prompt["3"]["inputs"]["pair"] = ["no node", 2]
    prompt["3"]["inputs"]["points"] = [[1, 2], [3, 4]]
    assert find_batch(prompt, "3").number == 0


def test_the_longest_unused_stream_is_forgotten():
    states = CarriedStates(most=2)
    for stream in ("a", "b"):
        states.keep(Batch(stream, 0), None, {"of": stream})
    states.keep(Batch("a", 1), {"of": "a"}, {"of": "a, later"})
    states.keep(Batch("c", 0), None, {"of": "c"})
    assert states.before(Batch("a", 2)) == {"of": "a, later"}
    with pytest.raises(StudioError, match="no earlier batch of this clip was processed"):
        states.before(Batch("b", 1))
