/// The header fields of one message: in the order of the wire, looked up without regard to case (RFC 9110, section 5).
package struct HTTPHeaders: Sendable, Equatable {
    /// One field. The name keeps the case it came with.
    package struct Field: Sendable, Equatable {
        /// The field's name, a token.
        package var name: String
        /// The value without surrounding white space.
        package var value: String
    }

    /// All fields in order.
    package private(set) var fields: [Field] = []

    /// No fields.
    package init() {}

    /// The given fields, in order.
    package init(_ fields: [(String, String)]) {
        self.fields = fields.map { Field(name: $0.0, value: $0.1) }
    }

    /// How many fields there are.
    package var count: Int { fields.count }

    /// The first value of a field. Setting it replaces every field of that name; nil removes them.
    package subscript(name: String) -> String? {
        get { fields.first { Self.equal($0.name, name) }?.value }
        set {
            fields.removeAll { Self.equal($0.name, name) }
            if let newValue { fields.append(Field(name: name, value: newValue)) }
        }
    }

    /// All values of a field, in order.
    package func values(_ name: String) -> [String] {
        fields.filter { Self.equal($0.name, name) }.map(\.value)
    }

    /// Adds a field after those that are there.
    package mutating func append(_ name: String, _ value: String) {
        fields.append(Field(name: name, value: value))
    }

    /// Whether a comma-separated field lists a token, without regard to case (such as `close` in `Connection`).
    package func lists(_ token: String, in name: String) -> Bool {
        values(name).contains { value in
            value.utf8.split(separator: 0x2c).contains { item in
                Self.equal(String(decoding: HTTPSyntax.trimmed(item), as: UTF8.self), token)
            }
        }
    }

    /// ASCII comparison without regard to case; no locale, no Unicode folding.
    static func equal(_ left: String, _ right: String) -> Bool {
        left.utf8.count == right.utf8.count
            && zip(left.utf8, right.utf8).allSatisfy { HTTPSyntax.lowercased($0) == HTTPSyntax.lowercased($1) }
    }
}
