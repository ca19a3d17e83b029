using System;
using System.Collections.Generic;
using static System.Math;
using Json = System.Text.Json.JsonSerializer;
using Shop.Data;

[assembly: InternalsVisibleTo("Shop.Tests")]

namespace Shop.Orders
{
    /// <summary>
    /// Where an order is in its life.
    /// </summary>
    public enum OrderState { Open, Paid = 4, Shipped }

    public delegate void OrderChanged(Order order, OrderState before);

    public readonly record struct Money(decimal Amount, string Currency);

    /// <summary>One order of one customer.</summary>
    /// <remarks>Immutable.</remarks>
    public sealed record Order(int Id, Money Total)
    {
        public OrderState State { get; init; } = OrderState.Open;
    }

    public interface IOrderStore<TKey> where TKey : notnull
    {
        Task<Order?> FindAsync(TKey key, CancellationToken token = default);
    }

    [Serializable]
    public partial class OrderService : IDisposable
    {
        private const int MaxRetries = 3;
        private readonly IOrderStore<int> _store;
        public event OrderChanged? Changed;

        public OrderService(IOrderStore<int> store) => _store = store;

        ~OrderService() => Dispose();

        /// <summary>Total of the orders, without <see cref="Money"/> of others.</summary>
        /// <param name="ids">The orders.</param>
        [Obsolete("use TotalAsync"), Pure]
        public async Task<decimal> Total<T>(
            IEnumerable<T> ids,
            Func<T, int> key) where T : class
        {
            decimal sum = 0;
            foreach (var id in ids)
            {
                var order = await _store.FindAsync(key(id));
                sum += order?.Total.Amount ?? 0;
            }
            return Round(sum, 2);

            decimal Half(decimal value) => value / 2;
        }

        public Order? this[int id] => _store.FindAsync(id).Result;

        public int Count
        {
            get { return _count; }
            private set { _count = value; }
        }
        private int _count;

        public static Money operator +(OrderService left, Money right) => right;

        public void Dispose()
        {
            Changed?.Invoke(new Order(1, default), OrderState.Paid);
            GC.SuppressFinalize(this);
        }

        private struct Slot
        {
            public int Start, End;
        }
    }

    public static class OrderExtensions
    {
        public static bool IsOpen(this Order order) => order.State is OrderState.Open;

        public const string Query = """
            SELECT { "id" } FROM "orders"
            """;
    }
}
