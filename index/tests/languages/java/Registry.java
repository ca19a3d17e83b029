package org.example.registry;

import java.util.*;
import java.util.function.Function;
import static java.util.Objects.requireNonNull;
import org.example.store.Store;

/**
 * Knows every service.
 *
 * @since 2
 */
@Component
@SuppressWarnings({"unchecked", "rawtypes"})
public abstract class Registry<K extends Comparable<K>, V> implements Iterable<V> {
    public static final int LIMIT = 100, STEP = 5;
    private final Map<K, List<? super V>> entries = new TreeMap<>();

    static {
        System.loadLibrary("registry");
    }

    protected Registry(Store store) {
        requireNonNull(store);
    }

    /** Finds a service; never null. */
    @Override
    @Deprecated(since = "3")
    public synchronized <T extends V> Optional<T> find(
            K key, Function<? super V, T> as) throws MissingException {
        return entries.getOrDefault(key, List.of()).stream().map(v -> as.apply((V) v)).findFirst();
    }

    // Not for others.
    abstract void check(V... values);

    public Iterator<V> iterator() {
        return new Iterator<>() {
            @Override
            public boolean hasNext() { return false; }

            @Override
            public V next() { throw new NoSuchElementException("""
                not "closed" { void no() {}
                """); }
        };
    }

    /** One entry. */
    public record Entry(String name, int weight) implements Named {
        public Entry {
            if (weight < 0) throw new IllegalArgumentException();
        }
    }

    enum Level {
        LOW(1),
        HIGH(9) {
            @Override
            int cost() { return 90; }
        };

        private final int weight;

        Level(int weight) { this.weight = weight; }

        int cost() { return weight; }
    }

    sealed interface Named permits Entry {
        String name();

        default String shout() { return name().toUpperCase(); }
    }

    @interface Component {
        String value() default "";
    }
}
