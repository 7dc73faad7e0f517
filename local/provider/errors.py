"""What can go wrong, as sentences for a person. Apart from the client, so that commands without requests need not load it."""


class Failure(Exception):
    """Something that a person must read; `str()` is the sentence, `hint` what to do about it."""

    hint = ""


class Told(Failure):
    """A failure that is already in the words of what was attempted."""


class ApiError(Failure):
    """An answer that is not a success. `str()` is the raw body, as in the real provider; several reads match on its words."""

    def __init__(self, text: str, status: int = 0):
        super().__init__(text)
        self.status = status
        if status == 401:
            self.hint = "Vultr refused the API key: check the environment variable VULTR_API_KEY, or api_key in the provider block."
