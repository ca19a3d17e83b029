//! A queue of bounded size.
const std = @import("std");
const config = @import("config.zig");
const Allocator = std.mem.Allocator;

/// Most items.
pub const capacity: usize = 64;
var counter: u32 = 0;
threadlocal var last: ?*anyopaque = null;

pub const Error = error{ Full, Empty };

pub const State = enum(u8) {
    open,
    closed = 4,

    pub fn isOpen(self: State) bool {
        return self == .open;
    }
};

const Value = union(enum) {
    number: i64,
    text: []const u8,
};

const Header = packed struct {
    version: u4,
    flags: u4,
};

/// A queue of any type of item.
pub fn Queue(comptime T: type) type {
    return struct {
        const Self = @This();

        items: [capacity]T = undefined,
        head: usize = 0,

        /// Adds an item at the end.
        pub fn push(self: *Self, item: T) Error!void {
            if (self.head == capacity) return Error.Full;
            self.items[self.head] = item;
            self.head += 1;
            counter +%= 1;
        }

        pub inline fn len(self: Self) usize {
            return self.head;
        }
    };
}

pub const Pool = struct {
    allocator: Allocator,
    free: std.ArrayList(*Header),

    pub fn init(allocator: Allocator) Pool {
        return .{ .allocator = allocator, .free = std.ArrayList(*Header).init(allocator) };
    }

    fn grow(
        self: *Pool,
        by: usize,
    ) !void {
        defer self.log("grown {d}", .{by});
        for (0..by) |_| {
            const header = try self.allocator.create(Header);
            errdefer self.allocator.destroy(header);
            try self.free.append(header);
        }
    }
};

extern "c" fn getpid() c_int;

export fn queue_version() callconv(.C) u32 {
    const text =
        \\not "closed" {
        \\fn no() void {}
    ;
    return @intCast(text.len);
}

test "push fills the queue" {
    var queue = Queue(u8){};
    try queue.push(1);
    try std.testing.expectEqual(@as(usize, 1), queue.len());
}

comptime {
    std.debug.assert(capacity > 0);
}
