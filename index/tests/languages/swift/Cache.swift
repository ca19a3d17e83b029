import Foundation
import struct Collections.Deque
@testable import CacheCore

/// What went wrong.
public enum CacheError: Error, Equatable {
    case missing(key: String)
    case full, closed

    var isFatal: Bool { self == .closed }
}

/// Anything that keeps values.
public protocol Storage: AnyObject {
    associatedtype Key: Hashable
    var count: Int { get }
    func value(for key: Key) throws -> Data?
    init(limit: Int)
}

typealias Handler<T> = (Result<T, CacheError>) -> Void

let defaultLimit = 1 << 20
@globalActor public actor DiskActor {
    public static let shared = DiskActor()
}

/// A cache in memory.
///
/// Not safe for use by several threads.
@available(macOS 13, *)
public final class MemoryCache<Key: Hashable>: Storage {
    private var entries: [Key: Data] = [:]
    public static let shared = MemoryCache<String>()
    lazy var order = Deque<Key>()

    public var count: Int {
        get { entries.count }
        set { trim(to: newValue) }
    }

    public init(limit: Int = defaultLimit) {
        self.limit = limit
    }

    deinit { print("gone") }

    // Looks a value up.
    @discardableResult
    public func value(
        for key: Key
    ) throws -> Data? {
        guard let found = entries[key] else {
            throw CacheError.missing(key: "\(key)")
        }
        return found
    }

    subscript(key: Key) -> Data? {
        get { entries[key] }
        set { entries[key] = newValue }
    }

    static func == (left: MemoryCache, right: MemoryCache) -> Bool { left === right }

    func load() async -> Int {
        await withCheckedContinuation { done in done.resume(returning: 1) }
    }

    struct Entry: Codable {
        var size = 0
    }
}

extension MemoryCache: CustomStringConvertible where Key == String {
    public var description: String { "cache of \(count)" }

    func prefix(_ text: String) -> [Data] {
        entries.filter { $0.key.hasPrefix(text) }.map(\.value)
    }
}

func measure<T>(_ name: String, _ body: () throws -> T) rethrows -> T {
    #if DEBUG
    let start = Date()
    defer { print(name, Date().timeIntervalSince(start)) }
    #endif
    return try body()
}

infix operator <+>: AdditionPrecedence
func <+> (left: Int, right: Int) -> Int { left + right }

let pattern = #"raw "string" with { \#(defaultLimit)"#
