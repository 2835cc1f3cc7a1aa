import FoundationEssentials

/// The body of a `:weight` request: `{"weight": 50}`.
struct WeightBody: Codable {
    /// The wanted weight.
    let weight: Int

    /// Reads the body. nil when it is not such an object, or the weight is not within 0 to 256.
    static func parse(_ body: [UInt8]) -> Int? {
        guard let weight = try? JSONDecoder().decode(WeightBody.self, from: Data(body)).weight else { return nil }
        return (0...256).contains(weight) ? weight : nil
    }
}
