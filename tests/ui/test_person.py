"""Who a person is on a shared server: python -m pytest tests/ui/test_person.py"""

from explorer.ui.person import token


def test_a_browsers_token_is_the_same_however_it_is_masked():
    one, other = "2|00000000|a1b2c3d4e5f60718|17", "2|01020304|a0b0c0d0e4f4041c|99"
    assert token(one) == token(other) == bytes.fromhex("a1b2c3d4e5f60718")
    assert token("") is None
    assert token("2|zz|11|1") is None
