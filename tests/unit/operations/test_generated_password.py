from trove.operations.root.enable import generate_password


def test_generated_passwords_are_long_mixed_and_never_the_same():
    made = {generate_password(36) for _ in range(50)}
    assert len(made) == 50
    for password in made:
        assert len(password) == 36
        assert password.isalnum()
        assert any(map(str.islower, password))
        assert any(map(str.isupper, password))
        assert any(map(str.isdigit, password))
    assert len(generate_password(1)) == 1
