# A value that must not be seen: best as Sensitive. One line, as it goes into an INI file.
type Trove::Secret = Variant[Sensitive[Pattern[/\A[^\r\n]+\z/]], Pattern[/\A[^\r\n]+\z/]]
