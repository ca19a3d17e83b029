@file:JvmName("LedgerKt")

package org.example.ledger

import kotlinx.coroutines.flow.Flow
import org.example.store.Store as Backing
import org.example.money.*

/** Largest number of entries that are kept in memory. */
const val CAPACITY = 1_000

typealias Listener = (Entry) -> Unit

/**
 * One line of the ledger.
 *
 * @property amount in cents
 */
data class Entry(val id: Long, val amount: Long, val note: String = "") {
    init {
        require(amount != 0L) { "an entry moves money" }
    }

    val isDebit: Boolean
        get() = amount < 0

    companion object {
        const val SEPARATOR = ';'

        /** Reads one line of a file. */
        @JvmStatic
        fun parse(line: String): Entry? =
            line.split(SEPARATOR).takeIf { it.size >= 2 }?.let { (id, amount) -> Entry(id.toLong(), amount.toLong()) }
    }
}

sealed interface Outcome {
    data object Accepted : Outcome
    class Refused(val reason: String) : Outcome
}

enum class Side(val sign: Int) {
    DEBIT(-1),
    CREDIT(1) {
        override fun label() = "credit"
    };

    open fun label() = name.lowercase()
}

fun interface Rule {
    fun check(entry: Entry): Outcome
}

/** Keeps entries in order. */
open class Ledger<T : Entry>(private val store: Backing<T>) : Iterable<T> by store {
    private val listeners = mutableListOf<Listener>()
    var balance: Long = 0
        private set

    constructor(path: String) : this(Backing(path))

    // Posting is not idempotent.
    @Throws(IllegalStateException::class)
    suspend fun post(
        entry: T,
        rules: List<Rule> = emptyList(),
    ): Outcome {
        val refused = rules.map { it.check(entry) }.firstOrNull { it is Outcome.Refused }
        if (refused != null) return refused
        store.append(entry)
        balance += entry.amount
        listeners.forEach { it(entry) }
        return Outcome.Accepted
    }

    operator fun get(index: Int): T = store[index]

    inner class Cursor {
        fun next(): T? = store.getOrNull(0)
    }
}

object Registry {
    private val open = HashMap<String, Ledger<*>>()

    fun find(name: String) = open[name]
}

/** Sum of all amounts, as an extension. */
fun Iterable<Entry>.total(): Long = sumOf { it.amount }

val Entry.display: String
    get() = "$id: ${"%.2f".format(amount / 100.0)}"

fun <T> Flow<T>.`every other`(): Flow<T> = TODO("written with a space in its name")
